"""Knows what is in stock. Environment: that of server.py.

GET /stock/ITEM answers {"item", "left"}, or 404 for what the shop never had.
"""

from __future__ import annotations

import sys

from labsupport.shop.server import Answer, Request, run

STOCK = {"tea": 1000, "cups": 40, "kettles": 3}


def inventory(request: Request) -> Answer:
    """Answer one request."""
    head, _, item = request.path.rpartition("/")
    if request.method != "GET" or head != "/stock":
        return Answer(404, {"error": "there is GET /stock/ITEM"})
    if item not in STOCK:
        return Answer(404, {"error": f"the shop has no {item}"})
    return Answer(200, {"item": item, "left": STOCK[item]})


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    return run("inventory", inventory)


if __name__ == "__main__":
    sys.exit(main())
