"""What a check works with, and what it gives back.

A probe looks names up in the notebook, runs the learner's functions where they can hurt nobody, reads the cluster, and
turns every way in which an answer can be missing or unusable into a "not yet" with a diagnostic that all exercises
share: `name-missing`, `wrong-type`, `wrong-parameters`, `unportable`, `raised`, `endless`, `not-deployed`.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from labsupport import kube
from labsupport.course.isolation.isolated import (
    Answer,
    CheckFault,
    Endless,
    Isolated,
    Raised,
    Returned,
    Strange,
)
from labsupport.course.progress import Value
from labsupport.course.source import Unportable
from labsupport.course.worlds.world import World
from labsupport.errors import LabsError
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from labsupport.course.deploy import Deployed

__all__ = ["Call", "CheckFault", "Outcome", "Probe", "Raised", "Rejected", "Returned", "not_yet", "passed"]

# Seconds for one check; the promise to learners is 60, and the last request may need some.
LIMIT = patient(45.0)
CALL_LIMIT = patient(2.0)  # seconds for one call of a learner's function
SHOWN = 160  # characters of a value in a message
T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """What a check found, without what the engine knows by itself (see Verdict)."""

    passed: bool
    diagnostic: str
    observed: str
    decided_by: str
    look: str = ""


class Rejected(Exception):
    """Ends a check early with an outcome: what a probe raises when an answer is missing or cannot be used."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.observed)
        self.outcome = outcome


def passed(observed: str, decided_by: str) -> Outcome:
    """The exercise is solved."""
    return Outcome(True, "ok", observed, decided_by)


def not_yet(diagnostic: str, observed: str, decided_by: str, look: str) -> Outcome:
    """The exercise is not solved: a stable id for the finding, what was seen, what decided it, where to
    look.
    """
    return Outcome(False, diagnostic, observed, decided_by, look)


@dataclass(frozen=True)
class Probe:
    """What a check works with: the API, the lab's world, the learner's names and prediction, and how long it may
    take.
    """

    place: World | None
    answers: Mapping[str, Any] = field(default_factory=dict)
    deadline: float = 0.0
    progress: Callable[[str], None] = lambda text: None
    prediction: Value | None = None  # what the learner committed for this exercise

    @property
    def world(self) -> World:
        """The lab on the cluster. Errors: LabsError in a check that is to need no cluster."""
        if self.place is None:
            raise LabsError("An offline check asked for the cluster.")
        return self.place

    @property
    def api(self) -> ApiClient:
        """The API client."""
        return self.world.api

    @property
    def namespace(self) -> str:
        """The lab's namespace."""
        return self.world.namespace

    def left(self, at_most: float = LIMIT) -> float:
        """Seconds that a step may take."""
        return max(0.5, min(at_most, self.deadline - time.monotonic()))

    # --- the cluster

    def get(self, api_version: str, kind: str, name: str) -> kube.objects.Object | None:
        """An object of the lab's namespace, or None."""
        return kube.get(self.api, api_version, kind, name, self.namespace)

    def list(self, api_version: str, kind: str, **selectors: str) -> list[kube.objects.Object]:
        """The objects of a kind in the lab's namespace."""
        return kube.list_objects(self.api, api_version, kind, self.namespace, **selectors)

    def deployed(self, name: str) -> Deployed | None:
        """What `lab.deploy` put into the lab's namespace under `name`, or None."""
        from labsupport.course.deploy import find

        return find(self.world, name)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[str]:
        """A namespace for the check's own objects; it is removed at the end, whatever happens. Yields its name."""
        from labsupport.course.scratch import scratch

        with scratch(self.world, self.progress) as namespace:
            yield namespace

    # --- the notebook

    def value(self, name: str, kind: type[T], wanted: str) -> T:
        """What the learner calls `name`; `wanted` says in words what it should be.

        Errors: Rejected (`name-missing`, `wrong-type`).
        """
        found = self._found(name, wanted)
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            raise Rejected(_wrong_type(name, found, wanted))
        return found

    @contextlib.contextmanager
    def function(self, name: str, parameters: int | None = None) -> Iterator[Call]:
        """The learner's function `name`, to be called in a process of its own with so many `parameters`.

        The process lives as long as the `with` block. Errors: Rejected (`name-missing`, `wrong-type`,
        `wrong-parameters`, `unportable`); those of the calls: see Call.
        """
        call = Call(self, name, self._function(name, parameters))
        try:
            yield call
        finally:
            call.close()

    def _function(self, name: str, parameters: int | None) -> Any:
        wanted = "a function, written with `def`"
        found = self._found(name, wanted)
        if not callable(found) or isinstance(found, type):
            raise Rejected(_wrong_type(name, found, wanted))
        if parameters is not None and not _takes(found, parameters):
            raise Rejected(
                not_yet(
                    "wrong-parameters",
                    f"`{name}` is called with {parameters} argument{'' if parameters == 1 else 's'}; "
                    f"yours is `{name}{_signature(found)}`.",
                    f"the parameters of {name}",
                    "Compare the line that begins with `def` with the one in the exercise.",
                )
            )
        return found

    def _found(self, name: str, wanted: str) -> Any:
        found = self.answers.get(name)
        if found is not None and found is not ...:
            return found
        if name in self.answers:
            raise Rejected(
                not_yet(
                    "name-missing",
                    f"`{name}` is still `{'...' if found is ... else 'None'}`; it is to be {wanted}.",
                    f"the name {name} in the notebook",
                    "Fill in the cell of the exercise, run it, and check again.",
                )
            )
        own = [each for each in self.answers if not each.startswith("_") and each != "lab"]
        near = difflib.get_close_matches(name, own, 1, 0.75)
        raise Rejected(
            not_yet(
                "name-missing",
                f"The notebook has no `{name}`" + (f", but there is `{near[0]}`." if near else "."),
                f"the name {name} in the notebook",
                "Run the cell of the exercise, then check again. After a restart of the kernel all names are gone: run "
                "the cells above as well.",
            )
        )


class Call:
    """A learner's function in a process of its own.

    `call(*arguments)` returns a copy of its result; `about` describes the input for the message, where its value would
    be too long or would give the answer away. `limit` is the time for one call, in seconds; `output` is what the last
    call printed.
    Errors: Rejected with `raised`, `endless`, `unportable`, or `wrong-type` for a result that is no value.
    """

    def __init__(self, probe: Probe, name: str, function: Any) -> None:
        self.name = name
        self.limit = CALL_LIMIT
        self.output = ""
        self._probe = probe
        self._function = function
        self._process: Isolated | None = None
        self._harness: FunctionType | None = None

    def __call__(self, *arguments: Any, about: str = "") -> Any:
        """Call it; an exception of the learner's is a Rejected."""
        answer = self.attempt(*arguments, about=about)
        if isinstance(answer, Raised):
            raise Rejected(self._raised(answer, about or shown(arguments)))
        return answer.value

    def attempt(self, *arguments: Any, about: str = "") -> Returned | Raised:
        """As a call, but an exception of the learner's is returned and not rejected."""
        answer = self._isolated(None).call(arguments, self._seconds())
        return self._usable(answer, about or shown(arguments))

    def drive(self, harness: FunctionType, *arguments: Any, about: str = "") -> Any:
        """`harness(function, *arguments)`, both in that process; what the harness returns comes back as a copy.

        `harness` is a function of the check's module: it may bring fakes, and call the function as often as it needs.
        Errors: as for a call; CheckFault if the harness itself fails.
        """
        answer = self._isolated(harness).drive(arguments, self._seconds())
        usable = self._usable(answer, about or f"the check's {harness.__name__}")
        if isinstance(usable, Raised):
            raise Rejected(self._raised(usable, about))
        return usable.value

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _seconds(self) -> float:
        return self._probe.left(self.limit)

    def _isolated(self, harness: FunctionType | None) -> Isolated:
        if self._process is not None and harness is self._harness:
            return self._process
        self.close()
        try:
            self._process = Isolated(self._function, self._probe.answers, harness)
        except Unportable as error:
            raise Rejected(
                not_yet(
                    "unportable",
                    f"`{self.name}` runs in a process of its own, and later in a Pod. {error.what}",
                    f"what {self.name} refers to in the notebook",
                    _sentence(error.fix),
                )
            ) from None
        self._harness = harness
        return self._process

    def _usable(self, answer: Answer, about: str) -> Returned | Raised:
        self.output = self._process.output if self._process else ""
        if isinstance(answer, Endless):
            raise Rejected(
                not_yet(
                    "endless",
                    f"`{self.name}` had not returned after {answer.seconds:g} s for {about}, and was stopped"
                    + (f" at {answer.line}." if answer.line else "."),
                    str(answer.line) if answer.line else f"the call of {self.name}",
                    "What would have to happen for the loop or the call in that line to end, and does it? "
                    "A watch needs a time-out.",
                )
            )
        if isinstance(answer, Strange):
            raise Rejected(
                not_yet(
                    "wrong-type",
                    f"`{self.name}` returned {answer.what}, for {about}.",
                    f"what {self.name} returns",
                    "Return plain values: lists, dictionaries, texts, numbers, or the records that the exercise names.",
                )
            )
        return answer

    def _raised(self, raised: Raised, about: str) -> Outcome:
        printed = self.output.strip().splitlines()[-1:]
        return not_yet(
            "raised",
            f"`{self.name}` raised {shorten(str(raised))}" + (f" for {about}." if about else "."),
            str(raised.line) if raised.line else f"the call of {self.name}",
            "The line is yours; call the function with such an input in a cell to look closer."
            + (f" It printed last: `{shorten(printed[0])}`" if printed else ""),
        )


def shown(arguments: tuple[Any, ...]) -> str:
    """Arguments as a message shows them."""
    try:
        words = ", ".join(repr(each) for each in arguments)
    except Exception:  # the learner's own class with a broken __repr__
        words = ", ".join(type(each).__name__ for each in arguments)
    return f"the input `{shorten(words)}`" if arguments else "no input"


def shorten(text: str) -> str:
    """One line of at most SHOWN characters."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _wrong_type(name: str, found: Any, wanted: str) -> Outcome:
    try:
        text = shorten(repr(found))
    except Exception:
        text = "something without a readable form"
    return not_yet(
        "wrong-type",
        f"`{name}` is to be {wanted}; it is of the type {type(found).__name__}: `{text}`",
        f"the type of {name}",
        "Compare with the exercise's text, and with the last line that gives the name a value.",
    )


def _takes(function: Any, parameters: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * parameters)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True


def _signature(function: Any) -> str:
    names = [
        ("*" if each.kind is each.VAR_POSITIONAL else "**" if each.kind is each.VAR_KEYWORD else "")
        + each.name
        for each in inspect.signature(function).parameters.values()
    ]
    return f"({', '.join(names)})"
