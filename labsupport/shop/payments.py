"""Charges money, and remembers whom it charged: a call with a known Idempotency-Key is answered, not done again.

What it remembers is in its memory: one Pod, one ledger. Environment: that of server.py.

POST /charges {"order": ID, "amount": N} answers 201, or 200 with "repeated" for a known key. GET /ledger answers
{"charges", "orders", "twice"}: how many charges, for how many orders, and the orders charged more than once;
DELETE /ledger forgets all. The ledger suffers no faults.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from typing import Any

from labsupport.shop.server import Answer, Request, run

LEDGER = "/ledger"


class Payments:
    """Answers for payments."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._charges: Counter[str] = Counter()
        self._known: dict[str, dict[str, Any]] = {}

    def __call__(self, request: Request) -> Answer:
        """Answer one request."""
        with self._lock:
            if (request.method, request.path) == ("POST", "/charges"):
                return self._charge(request)
            if request.path != LEDGER:
                return Answer(404, {"error": f"there are POST /charges and GET {LEDGER}"})
            if request.method == "DELETE":
                self._charges.clear()
                self._known.clear()
            twice = sorted(order for order, count in self._charges.items() if count > 1)
            charges = sum(self._charges.values())
            return Answer(200, {"charges": charges, "orders": len(self._charges), "twice": twice})

    def _charge(self, request: Request) -> Answer:
        key = request.headers.get("Idempotency-Key") or ""
        if key in self._known:
            return Answer(200, {**self._known[key], "repeated": True})
        bill = request.json()
        order = str(bill["order"])
        charge = {"order": order, "amount": float(bill["amount"])}
        self._charges[order] += 1
        if key:
            self._known[key] = charge
        return Answer(201, charge)


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    return run("payments", Payments(), spared=(LEDGER,))


if __name__ == "__main__":
    sys.exit(main())
