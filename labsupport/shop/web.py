"""The shop's front door. It says which Pod answered, and in which version; with ORDERS set, it sells.

Environment: ORDERS (where orders listens, such as http://orders; default: no shop behind it), and those of server.py.

GET /buy/ITEM orders one of it: 201, or the status of what went wrong. GET on any other path answers JSON {"service",
"pod", "version", "path"}.
"""

from __future__ import annotations

import os
import sys

from labsupport.shop.client import Call, Client, NoAnswer, NotSent
from labsupport.shop.server import Answer, Handler, Request, Service, run

__all__ = ["Handler", "main", "serve"]


class Web:
    """Answers for the front door; `orders` is the service behind it, if there is one."""

    def __init__(self, orders: Client | None = None) -> None:
        self._orders = orders

    def __call__(self, request: Request) -> Answer:
        """Answer one request."""
        if request.method not in ("GET", "HEAD"):
            return Answer(405, {"error": "only GET"})
        head, _, item = request.path.partition("?")[0].rpartition("/")
        if self._orders is None or head != "/buy":
            return Answer(200, {"path": request.path})
        try:
            answer = self._orders.send(Call("POST", "/orders", {"item": item}))
        except (NotSent, NoAnswer) as error:
            return Answer(502, {"path": request.path, "error": f"orders: {error}"})
        status = answer.status if answer.status < 500 else 502
        return Answer(status, {"path": request.path, "order": answer.content})


def serve(port: int) -> Service:
    """A front door with nothing behind it, bound to `port` (0: any)."""
    return Service("web", Web(), port)


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    orders = os.environ.get("ORDERS", "")
    return run("web", Web(Client(orders) if orders else None))


if __name__ == "__main__":
    sys.exit(main())
