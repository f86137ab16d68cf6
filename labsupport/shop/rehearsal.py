"""An outgoing call rehearsed without a network: a scripted other side and a clock that jumps instead of waiting.

`rehearse(call, request, script)` runs a function `call(request, send, clock)` and returns what it did, try by try. Each
word of the script answers one try; the last one answers all that follow:

- a status, such as `201` or `503`: an answer after 20 ms. Below 400 the request was carried out.
- `refused`: no connection came about (NotSent, at once).
- `lost`: carried out, then the connection broke (NoAnswer after 20 ms).
- `silent`: carried out, and no answer ever comes (NoAnswer when the try's timeout is over).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labsupport.shop.client import Call, NoAnswer, NotSent, Response

ANSWER = 0.020  # seconds until an answer
BEGIN = 1000.0  # seconds on the clock when a rehearsal begins: a clock says how long, never what time it is
MOST_TRIES = 200  # a function that tries on for ever is stopped


class Endless(Exception):
    """The function tried MOST_TRIES times."""


class Clock:
    """Virtual time in seconds: `sleep` moves it on and returns at once."""

    def __init__(self) -> None:
        self._now = BEGIN

    def now(self) -> float:
        """Seconds since some moment, as of time.monotonic."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass. Errors: ValueError if negative, as of time.sleep."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self._now += seconds


@dataclass(frozen=True)
class Try:
    """One try: when it began, the timeout it was given, what came of it, and when that was known."""

    at: float
    timeout: float
    came: str
    ended: float


@dataclass(frozen=True)
class Transcript:
    """What a function did: its tries, how often the request was carried out, what it returned (a status, or the
    exception it raised), and when.
    """

    request: Call
    script: tuple[str, ...]
    tries: tuple[Try, ...]
    carried_out: int
    result: str
    ended: float

    @property
    def waits(self) -> list[float]:
        """Seconds between the end of a try and the beginning of the next."""
        return [later.at - earlier.ended for earlier, later in zip(self.tries, self.tries[1:], strict=False)]

    def __str__(self) -> str:
        """One line for each try."""
        head = f"{self.request.method} {self.request.path}{' with a key' if self.request.key else ''}"
        lines = [
            f"  {each.at:6.3f} s  try {number} (timeout {each.timeout:.3g} s): {each.came}"
            for number, each in enumerate(self.tries, 1)
        ]
        end = f"  {self.ended:6.3f} s  {self.result}; carried out {self.carried_out} times"
        return "\n".join([head, *lines, end])

    __repr__ = __str__


Function = Callable[..., object]


def rehearse(function: Function, request: Call, script: Sequence[str] | str) -> Transcript:
    """Run `function(request, send, clock)` against `script`.

    Errors: whatever the function raises other than NotSent and NoAnswer; Endless; ValueError on a script that is none.
    """
    words = tuple(script.split() if isinstance(script, str) else script)
    if not words or any(word not in ("refused", "lost", "silent") and not word.isdigit() for word in words):
        raise ValueError("a script has statuses and the words refused, lost, silent")
    clock, tries, carried_out = Clock(), list[Try](), 0

    def send(call: Call, timeout: float) -> Response:
        nonlocal carried_out
        if len(tries) == MOST_TRIES:
            raise Endless(f"{MOST_TRIES} tries, and no end")
        began, word = clock.now(), words[min(len(tries), len(words) - 1)]
        took = 0.0 if word == "refused" else timeout if word == "silent" else min(timeout, ANSWER)
        clock.sleep(took)
        late = took < ANSWER and word not in ("refused", "silent")
        carried_out += word in ("lost", "silent") or (word.isdigit() and int(word) < 400)
        tries.append(Try(began - BEGIN, timeout, "too late" if late else word, clock.now() - BEGIN))
        if word == "refused":
            raise NotSent("connection refused")
        if late or not word.isdigit():
            raise NoAnswer("timed out" if word == "silent" or late else "connection closed")
        return Response(int(word), {"try": len(tries)})

    try:
        returned = function(request, send, clock)
        result = (
            str(returned.status) if isinstance(returned, Response) else f"returned {type(returned).__name__}"
        )
    except (NotSent, NoAnswer) as error:
        result = f"raised {type(error).__name__}"
    return Transcript(request, words, tuple(tries), carried_out, result, clock.now() - BEGIN)
