"""The cache directory: locks, sizes, removal."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from labsupport.cluster import cachedir


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    order: list[str] = []
    tried = threading.Event()

    def second() -> None:
        tried.set()
        with cachedir.locked(tmp_path / "lock"):
            order.append("second")

    with cachedir.locked(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        tried.wait()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from labsupport.cluster.cachedir import locked
with locked(Path({str(tmp_path / "lock")!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with cachedir.locked(tmp_path / "lock"):
        pass


def test_sizes_count_what_the_disk_holds(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_bytes(b"x" * 100_000)
    before = cachedir.size_of(tmp_path)
    assert before >= 100_000
    os.link(tmp_path / "a/one", tmp_path / "a/two")
    (tmp_path / "a/link").symlink_to("/")
    assert cachedir.size_of(tmp_path) < before + 10_000
    assert cachedir.size_of(tmp_path / "absent") == 0


def test_removing_what_is_not_writable(tmp_path: Path) -> None:
    deep = tmp_path / "tree/modules"
    deep.mkdir(parents=True)
    (deep / "file").write_text("")
    deep.chmod(0o555)
    cachedir.remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
