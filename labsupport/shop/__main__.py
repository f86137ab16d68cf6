"""`python3 -m labsupport.shop ROLE`: the entrypoint of the images labs.example/shop."""

from __future__ import annotations

import sys

from labsupport.shop import inventory, load, orders, payments, web

ROLES = {
    "web": web.main,
    "orders": orders.main,
    "payments": payments.main,
    "inventory": inventory.main,
    "load": load.main,
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ROLES:
        sys.exit(f"usage: python3 -m labsupport.shop {{{','.join(ROLES)}}}")
    sys.exit(ROLES[sys.argv[1]]())
