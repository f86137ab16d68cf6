"""Lab O1 with its solutions in a real browser: it runs, all checks pass, and everybody can read what it shows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from labsupport.course.manifest import find_lab
from labsupport.paths import LABS

if TYPE_CHECKING:
    from tests.browser.conftest import OpenLab

pytestmark = [pytest.mark.browser, pytest.mark.on_cluster]


def test_the_lab_runs_and_its_outputs_are_accessible(open_lab: OpenLab, tmp_path: Path) -> None:
    lab = find_lab("o1")
    root = tmp_path / "learner"
    path = root / f"{Path(lab.notebook).name}.ipynb"
    root.mkdir()
    shutil.copy(LABS / "solutions" / f"{lab.notebook}.ipynb", path)
    page = open_lab(path, root)
    page.run_all()
    verdicts = page.outputs.locator(".labs-verdict")
    verdicts.last.wait_for()
    found = {place.get_attribute("data-verdict") for place in verdicts.all()}
    assert found == {"pass"}
    assert verdicts.count() >= len(lab.exercises)
    page.scan()
    for number, place in enumerate(page.outputs.locator("svg[role=img]").all(), 1):
        page.shot(f"o1-picture{number}", place)
    page.shot("o1-verdict", verdicts.first)
    assert page.outside == []
