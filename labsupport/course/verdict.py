"""The verdict: one record of what a check found; its text, HTML and dictionary forms say the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from labsupport.draw import theme
from labsupport.draw.theme import escape

Kind = Literal["pass", "not_yet", "could_not_check"]
WORDS: dict[Kind, str] = {
    "pass": "Pass",
    "not_yet": "Not yet",
    "could_not_check": "Could not check",
}
_COLOURS: dict[Kind, str] = {"pass": theme.GOOD, "not_yet": theme.WAIT, "could_not_check": theme.BAD}


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    `expected` says in words what was looked for, `observed` what was seen, `decided_by` the object, field
    or request that decided, `look` where to look next, `diagnostic` a stable id for this finding.
    `hint_level` is how many hints had been taken (0 to 3), `seconds` how long the check took. `advice`
    names a next step (a hint, the solution), `explanation` is the why, after a pass. `evidence` are further
    findings as (name, value), for instance the learner's own line that raised; `note` is about the course itself
    (the record of progress cannot be written).
    """

    exercise: str
    verdict: Kind
    expected: str
    observed: str
    decided_by: str
    diagnostic: str
    look: str = ""
    hint_level: int = 0
    seconds: float = 0.0
    advice: str = ""
    explanation: str = ""
    evidence: tuple[tuple[str, str], ...] = ()
    note: str = ""

    def __bool__(self) -> bool:
        """True only for a pass, so that `if lab.check(...)` reads as it should."""
        return self.verdict == "pass"

    def __str__(self) -> str:
        """The text form."""
        head = f"{WORDS[self.verdict]}: {self._name()} ({self._duration()})"
        rows = [f"{name}: {value}".replace("\n", "\n    ") for name, value in self._rows()]
        return "\n  ".join([head, *rows])

    def __repr__(self) -> str:
        """The text form: what a console, a log and a screen reader get."""
        return str(self)

    def as_dict(self) -> dict[str, Any]:
        """The form for JSON (`labs check --json`)."""
        return asdict(self)

    def html(self) -> str:
        """The HTML form. Its role makes screen readers announce it; its colour only repeats its first word."""
        colour = _COLOURS[self.verdict]
        rows = "".join(
            f'<div style="display:flex;gap:1em;padding:2px 0"><div style="flex:0 0 7em;color:{theme.MUTED}">'
            f'{escape(name)}</div><div style="flex:1;white-space:pre-wrap">{with_code(value)}</div></div>'
            for name, value in self._rows()
        )
        return (
            f'<div role="status" class="labs-verdict" data-verdict="{self.verdict}" '
            f'style="border:1px solid {theme.RULE};'
            f"border-left:6px solid {colour};border-radius:4px;padding:8px 14px;margin:4px 0;color:{theme.TEXT};"
            f'font-family:{theme.FONT};line-height:1.45;max-width:860px">'
            f'<div style="padding-bottom:4px"><strong style="font-size:1.1em">{WORDS[self.verdict]}</strong> '
            f'<span style="color:{theme.MUTED}">{escape(self._name())} &middot; '
            f"{self._duration()}</span></div>{rows}</div>"
        )

    def _repr_html_(self) -> str:
        return self.html()

    def _name(self) -> str:
        """The exercise and what was found; most diagnostics begin with the exercise's id already."""
        found = self.diagnostic.removeprefix(f"{self.exercise}/")
        return self.exercise if found == "ok" else f"{self.exercise}/{found}"

    def _duration(self) -> str:
        seconds = "less than 0.1 s" if self.seconds < 0.1 else f"{self.seconds:.1f} s"
        hints = f"{self.hint_level} hint{'s' if self.hint_level > 1 else ''}"
        return f"{seconds}, with {hints}" if self.hint_level else seconds

    def _rows(self) -> list[tuple[str, str]]:
        rows = [
            ("Expected", self.expected),
            ("Observed", self.observed),
            ("Decided by", self.decided_by),
            *self.evidence,
            ("Look at", self.look),
            ("Next", self.advice),
            ("Why", self.explanation),
            ("Note", self.note),
        ]
        return [(name, value.strip()) for name, value in rows if value.strip()]


def with_code(text: str) -> str:
    """Escaped text in which `backticks` mark code."""
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:
        return "`".join(parts)
    style = f"font-family:{theme.CODE_FONT};font-size:0.92em"
    return "".join(
        f'<code style="{style}">{part}</code>' if number % 2 else part for number, part in enumerate(parts)
    )
