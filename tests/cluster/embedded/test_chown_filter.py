"""The filter makes chown succeed without effect, and leaves other calls alone."""

from __future__ import annotations

import os
from pathlib import Path

from labsupport.cluster.embedded import chown_filter, linux


def test_program_has_one_jump_for_each_call() -> None:
    program = chown_filter.program((92, 93))
    assert len(program) == 8 * 5
    # The jumps of both comparisons lead to the last instruction.
    assert [program[8 * index + 2] for index in (1, 2)] == [2, 1]


def test_chown_answers_zero_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    before = file.stat().st_uid
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() != 0:
                linux.no_new_privileges()
            chown_filter.install()
            os.chown(file, 12345, 12345)
            file.write_text("still writable")
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0
    assert file.stat().st_uid == before
    assert file.read_text() == "still writable"
