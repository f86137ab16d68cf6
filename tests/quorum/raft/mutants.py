"""Raft with one rule broken: what the simulation must find, or it proves nothing."""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from labsupport.quorum.raft import election, membership, reads, replication, snapshots
from labsupport.quorum.raft.core import Raft
from labsupport.quorum.raft.log import Log
from labsupport.quorum.raft.storage import Storage
from tests.quorum.raft import test_membership, test_replication, test_storage
from tests.quorum.raft.world import Faults


@dataclass(frozen=True)
class Mutant:
    """In the source of `function`, `old` (which stands there once) becomes `new`."""

    name: str
    function: Callable[..., Any]
    old: str
    new: str
    faults: Faults = field(default_factory=Faults)
    sizes: tuple[int, ...] = (3, 5)
    seen: str = ""  # what stands in the finding


@contextlib.contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    """While this lasts, the rule is broken for everybody."""
    function = mutant.function
    assert isinstance(function, FunctionType)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(mutant.old) == 1, f"{mutant.name}: {source.count(mutant.old)} places"
    names: dict[str, Any] = {}
    text = "from __future__ import annotations\n" + source.replace(mutant.old, mutant.new)
    exec(compile(text, function.__code__.co_filename, "exec"), function.__globals__, names)  # noqa: S102
    whole = function.__code__
    function.__code__ = names[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = whole


STORMY = Faults(cut=0.02, heal=0.02, crash=0.004, linger=0.08, lose=0.05, transfer=0.01)
RESTLESS = Faults(
    crash_sent=0.05, restart=0.3, linger=0.1, duplicate=0.1, cut=0.02, heal=0.05, transfer=0.02, change=0
)
PAUSED = Faults(pause=0.01, crash=0, crash_saving=0, crash_sent=0, change=0)
MUTANTS = [
    Mutant(
        "the vote is not saved",
        Raft.ready,
        "hard_state = HardState(node.term, node.vote)",
        "hard_state = HardState(node.term)",
        RESTLESS,
        seen="voted twice",
    ),
    Mutant(
        "a vote for any log",
        election.on_vote_request,
        "granted = free and not node.log.newer_than(request.last_term, request.last_index)",
        "granted = free",
        seen="leader completeness",
    ),
    Mutant(
        "two votes in a term",
        election.on_vote_request,
        "node.vote == sender or (node.vote is None and node.leader is None)",
        "node.leader is None",
        STORMY,
        seen="voted twice",
    ),
    Mutant(
        "two changes of members at once",
        membership.change,
        "if node.log.configuration_index > node.log.commit:",
        "if False:",
        Faults(cut=0.02, heal=0.03, crash=0.001, change=0.1, transfer=0.01),
        (3, 4),
    ),
    Mutant(
        "a read that nobody confirmed",
        reads.settle,
        "if not node.configuration.decided_by(heard | {node.id}):",
        "if False:",
        PAUSED,
        seen="NOT linearizable",
    ),
    Mutant(
        "a read before the term's first commit",
        reads.settle,
        "if node.unasked and node.own_term_committed:",
        "if node.unasked:",
        seen="NOT linearizable",
    ),
    Mutant(
        "a snapshot forgets the members",
        Log.install,
        "self._configurations = [(snapshot.index, snapshot.configuration)]",
        "self._configurations = [(snapshot.index, self.configuration)]",
        seen="other members than the log",
    ),
    Mutant(
        "a late append takes back what came after it",
        Log.merge,
        "if here == entry.term:",
        "if here == entry.term and entry.index <= self.commit:",
        STORMY,
    ),
    Mutant(
        "a heartbeat commits what the follower may not have",
        replication._send_heartbeat,
        "min(node.log.commit, progress.match)",
        "node.log.commit",
        STORMY,
        seen="state machine safety",
    ),
    Mutant("the log is not synced", Storage._append, "self._log.sync()", "pass"),
    Mutant(
        "a snapshot's chunks in any order",
        snapshots.on_chunk,
        "chunk.offset == len(data) and",
        "",
        Faults(duplicate=0.3, power=1, change=0.02),
    ),
]
# Chance would need thousands of seeds for these.
BY_SCHEDULE = [
    (
        Mutant(
            "an entry of an old term is committed by counting",
            replication.settle,
            "if index > node.log.commit and node.log.term(index) == node.term:",
            "if index > node.log.commit:",
            STORMY,
        ),
        test_replication.test_figure_8_an_old_entry_on_a_majority_is_not_committed_by_counting,
    ),
    (
        Mutant(
            "a change of members before the term's first commit",
            membership.change,
            "if not node.own_term_committed:",
            "if False:",
            Faults(cut=0.03, heal=0.03, crash=0.001, change=0.1, transfer=0.02, lose=0.05),
            (3, 4),
        ),
        test_membership.test_two_leaders_with_other_members_each_commit_nothing_different,
    ),
    (
        Mutant("what was read after a crash is not synced", Storage._load, "self._log.sync()", "pass"),
        test_storage.test_what_was_written_by_a_killed_process_is_synced_before_it_is_believed,
    ),
]
