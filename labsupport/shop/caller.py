"""The host of `lab.deploy(function, host="caller")`: the shop's orders, with the learner's function in its call to
payments.

With the setting `role="call"` (the default) the function is `call(request, send, clock)`: it makes the call, by `send`,
as often as it sees fit, and returns the Response or raises NotSent or NoAnswer. With `role="trust"` it is
`trust(authority)`: it returns the ssl.SSLContext for calls to payments; the setting `authority` is PEM text.

The environment is that of orders.py.
"""

from __future__ import annotations

import ssl
import sys
import time

from labsupport.operators import learner
from labsupport.shop import orders
from labsupport.shop.client import Call, NoAnswer, NotSent, Response, Send

LIMIT = 5.0  # seconds for one call before it is told that it takes long


class Clock:
    """Real time, as rehearsal.Clock has virtual time."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        time.sleep(seconds)


def outgoing(function: learner.Learner) -> orders.Outgoing:
    """The learner's function as orders' outgoing call. An unanswered call is a result; all else is recorded."""
    clock = Clock()

    def call(request: Call, send: Send) -> Response:
        with function.guard(f"{request.method} {request.path}{' with a key' if request.key else ''}", LIMIT):
            try:
                answer = function.function(request, send, clock)
            except (NotSent, NoAnswer) as error:
                unanswered = error
            else:
                if isinstance(answer, Response):
                    return answer
                raise TypeError(f"{function.name} returned {type(answer).__name__}, not a Response")
        raise unanswered

    return call


def context(function: learner.Learner) -> ssl.SSLContext:
    """What the learner's function makes of the authority in its settings; this process ends if that is no context."""
    try:
        with function.guard("the authority's certificate"):
            made = function.function(str(function.settings.get("authority", "")))
            if not isinstance(made, ssl.SSLContext):
                raise TypeError(f"{function.name} returned {type(made).__name__}, not an ssl.SSLContext")
    except Exception as error:
        learner.fail(function.failure(error, "the authority's certificate"))
    return made


def main() -> int:
    """Take orders until SIGTERM or SIGINT."""
    function = learner.load()
    if function.settings.get("role", "call") == "trust":
        return orders.main(context=context(function))
    return orders.main(outgoing(function))


if __name__ == "__main__":
    sys.exit(main())
