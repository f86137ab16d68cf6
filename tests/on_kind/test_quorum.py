"""The Quorum operator on kind, by the tests that hold on the embedded cluster: the same files, operator and members.

The first two of them, unless KIND_QUORUM is "all": what is kind's alone is how a member's program, volume and
certificate come to its Pod. They build on each other, so their order counts.
"""

from __future__ import annotations

import os

from tests.on_cluster import test_quorum_operator as suite

quorums = suite.quorums
FIRST = ("test_one_is_made_and_grows", "test_an_upgrade_under_load_with_its_operator_killed")
ALL = tuple(name for name in vars(suite) if name.startswith("test_"))

globals().update(
    {name: vars(suite)[name] for name in (ALL if os.environ.get("KIND_QUORUM") == "all" else FIRST)}
)
