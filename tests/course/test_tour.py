"""A tour leads from each lab to each, itself too, once."""

from __future__ import annotations

from itertools import pairwise

import pytest

from labsupport.course.manifest import Lab
from labsupport.course.proofs.tour import order


@pytest.mark.parametrize("count", [0, 1, 2, 5, 9])
def test_each_pair_occurs_once(count: int) -> None:
    entry = {"title": "L", "notebook": "l", "minutes": 1, "exercises": []}
    labs = [Lab.model_validate({"id": f"l{number}", **entry}) for number in range(count)]
    seen = [(before.id, after.id) for before, after in pairwise(order(labs))]
    assert len(seen) == len(set(seen)) == count**2
