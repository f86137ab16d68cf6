"""What the doctor says: one record for each thing looked at, and their two forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    `id` is stable. `fatal`: a cluster cannot run while this is not ok. `fix` is one line, "" when nothing is to be
    done; `anchor` is a heading of clusters/README.md that says more.
    """

    id: str
    ok: bool
    fatal: bool
    message: str
    fix: str
    anchor: str


def healthy(checks: Sequence[Check]) -> bool:
    """Whether a cluster can run as far as these checks can tell."""
    return all(check.ok or not check.fatal for check in checks)


def as_dict(checks: Sequence[Check]) -> dict[str, Any]:
    """The JSON form (`labs doctor --json`)."""
    return {"checks": [asdict(check) for check in checks]}


def describe(checks: Sequence[Check]) -> str:
    """The checks as a person reads them: what is wrong stands out, and the step that mends it is below it."""
    lines = []
    for check in checks:
        word = "ok" if check.ok else "FAILED" if check.fatal else "warning"
        lines.append(f"{word:7}  {check.id:18}  {check.message}")
        if check.fix:
            lines.append(f"{'':7}  {'':18}  Next: {check.fix}")
        if not check.ok:
            lines.append(f"{'':7}  {'':18}  More: clusters/README.md#{check.anchor}")
    failed = sum(not check.ok and check.fatal for check in checks)
    warnings = sum(not check.ok and not check.fatal for check in checks)
    verdict = "A cluster can run here." if not failed else "A cluster cannot run here yet."
    lines += ["", f"{verdict} {len(checks)} checks: {failed} failed, {warnings} warnings."]
    return "\n".join(lines)
