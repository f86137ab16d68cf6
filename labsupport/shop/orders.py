"""Takes orders: asks inventory whether the item is there, then payments to charge for it.

Environment: INVENTORY and PAYMENTS (where they listen, such as http://payments), CONNECTIONS (`keep`, the default, or
`new` for a new one each time), CA (a PEM file: whom to trust where PAYMENTS begins with https), and those of server.py.

POST /orders {"item": "tea"} answers 201 with which Pod of which service took part, 409 if there is none left, 502 if
a service behind it failed; the answer's "tries" say how often payments was called.
"""

from __future__ import annotations

import os
import ssl
import sys
import uuid
from collections.abc import Callable

from labsupport.shop.client import Call, Client, NoAnswer, NotSent, Response, Send
from labsupport.shop.server import Answer, Request, run

PRICE = 3
TIMEOUT = 2.0  # seconds

Outgoing = Callable[[Call, Send], Response]


def once(call: Call, send: Send) -> Response:
    """The outgoing call as it is without further thought: one try."""
    return send(call, TIMEOUT)


class Orders:
    """Answers for orders; `outgoing` makes the call to payments."""

    def __init__(self, inventory: Client, payments: Client, outgoing: Outgoing = once) -> None:
        self._inventory, self._payments, self._outgoing = inventory, payments, outgoing

    def __call__(self, request: Request) -> Answer:
        """Answer one request."""
        if (request.method, request.path) != ("POST", "/orders"):
            return Answer(404, {"error": "there is POST /orders"})
        item, order, tries = str(request.json()["item"]), uuid.uuid4().hex, 0

        def send(call: Call, timeout: float) -> Response:
            nonlocal tries
            tries += 1
            return self._payments.send(call, timeout)

        try:
            stock = self._inventory.send(Call("GET", f"/stock/{item}"), TIMEOUT)
            if stock.status >= 400:
                return Answer(409 if stock.status == 404 else 502, {"order": order, "stock": stock.content})
            bill = {"order": order, "amount": PRICE}
            charge = self._outgoing(Call("POST", "/charges", bill, key=order), send)
        except (NotSent, NoAnswer) as error:
            return Answer(502, {"order": order, "error": str(error), "tries": tries})
        status = 201 if charge.status < 400 else 502
        return Answer(
            status, {"order": order, "stock": stock.content, "charge": charge.content, "tries": tries}
        )


def client(base: str, context: ssl.SSLContext | None = None) -> Client:
    """A client for `base` as the environment wants it."""
    authority = os.environ.get("CA", "")
    if context is None and authority and base.startswith("https"):
        context = ssl.create_default_context(cafile=authority)
    return Client(base, keep=os.environ.get("CONNECTIONS", "keep") == "keep", context=context)


def main(outgoing: Outgoing = once, context: ssl.SSLContext | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    inventory = client(os.environ.get("INVENTORY", "http://inventory"))
    payments = client(os.environ.get("PAYMENTS", "http://payments"), context)
    return run("orders", Orders(inventory, payments, outgoing))


if __name__ == "__main__":
    sys.exit(main())
