"""Small labs whose worlds are awkward to remove. They are no labs for learners: nothing is checked in them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from labsupport.course.manifest import Lab

HERE = Path(__file__).parent


def read(name: str) -> Lab:
    """The lab in the directory `name`."""
    data = tomllib.loads((HERE / name / "lab.toml").read_text(encoding="utf-8"))
    return Lab.model_validate({**data, "directory": HERE / name})


WORLDS = (read("one"), read("two"), read("three"))
