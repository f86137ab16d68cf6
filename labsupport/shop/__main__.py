"""`python3 -m labsupport.shop ROLE`: the entrypoint of the images labs.example/shop."""

from __future__ import annotations

import importlib
import sys

ROLES = ("web", "orders", "payments", "inventory", "load", "customers")

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ROLES:
        sys.exit(f"usage: python3 -m labsupport.shop {{{','.join(ROLES)}}}")
    # Its own module and no other: Pods that start together share a processor or two.
    sys.exit(importlib.import_module(f"labsupport.shop.{sys.argv[1]}").main())
