"""Which tests of the suite are run, as words for ginkgo; and how it is run, from clusters/conformance/suite.toml.

Kubernetes labels its tests: "Conformance", and "sig-node" and so on for the group that keeps them.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labsupport import paths
from labsupport.errors import LabsError

FILE = paths.CLUSTERS / "conformance" / "suite.toml"
SIGS = (
    "api-machinery",
    "apps",
    "architecture",
    "auth",
    "cli",
    "instrumentation",
    "network",
    "node",
    "scheduling",
    "storage",
)


class Settings(BaseModel):
    """The file's content; see there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    registry: str
    registries: tuple[str, ...]
    processes_per_cpu: int = Field(gt=0)
    minutes: int = Field(gt=0)
    quick: tuple[str, ...]

    @property
    def processes(self) -> int:
        """Tests side by side on this machine."""
        return self.processes_per_cpu * (os.cpu_count() or 1)

    def repositories(self) -> str:
        """The file that KUBE_TEST_REPO_LIST names (YAML): where each registry's images are."""
        return "".join(f"{name}: {self.registry}\n" for name in self.registries)


def load(file: Path = FILE) -> Settings:
    """Read suite.toml. LabsError on a bad file."""
    try:
        return Settings.model_validate(tomllib.loads(file.read_text()))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise LabsError(f"{file}: {error}", fix=f"git checkout -- {file}") from error


def label_filter(sigs: Sequence[str]) -> str:
    """The tests tagged [Conformance] of these groups, or of all, in ginkgo's language of labels. LabsError: no such."""
    names = [sig.removeprefix("sig-") for sig in sigs]
    if unknown := [name for name in names if name not in SIGS]:
        raise LabsError(f"no group of tests {', '.join(unknown)}", fix=f"choose from {', '.join(SIGS)}")
    groups = " || ".join(f"sig-{name}" for name in dict.fromkeys(names))
    return f"Conformance && ({groups})" if groups else "Conformance"


def words(sigs: Sequence[str], focus: str | None, quick: Sequence[str] = ()) -> list[str]:
    """ginkgo's options for the tests whose labels are these and whose whole name `focus` and one of `quick` match.

    ginkgo joins several --focus by "or", so that `focus` and `quick` exclude each other.
    """
    chosen = [f"--label-filter={label_filter(sigs)}"]
    if focus:
        try:
            re.compile(focus)
        except re.error as error:
            raise LabsError(f"--focus is no regular expression: {error}") from error
        if quick:
            raise LabsError("--quick is a selection of its own", fix="leave out --focus")
        chosen.append(f"--focus={focus}")
    return [*chosen, *(f"--focus={expression}" for expression in quick)]
