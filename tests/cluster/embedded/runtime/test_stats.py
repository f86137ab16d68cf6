from __future__ import annotations

from pathlib import Path

from labsupport.cluster.embedded.runtime import stats

STAT = "7 (a b) c) S 1 7 7 0 -1 4194560 100 20 3 4 50 60 7 8 20 0 1 0 12345 9000 300 1"


def test_stat_line_with_a_name_full_of_parentheses() -> None:
    assert stats.parse_stat(STAT) == (125, 120, 7)


def test_usage_is_summed_over_a_mount_namespace(tmp_path: Path) -> None:
    for pid, namespace in (("7", "one"), ("8", "one"), ("9", "two")):
        folder = tmp_path / pid
        (folder / "ns").mkdir(parents=True)
        (tmp_path / namespace).touch()
        (folder / "ns" / "mnt").symlink_to(tmp_path / namespace)
        (folder / "stat").write_text(STAT)
        (folder / "statm").write_text("900 30 10 1 0 5 0")
    (tmp_path / "10").mkdir()
    spaces = stats.usage_by_namespace(tmp_path)
    one = spaces[(tmp_path / "one").stat().st_ino]
    assert (one.processes, one.page_faults) == (2, 240)
    assert one.resident == 60 * 4096
    assert one.anonymous == 40 * 4096
    assert spaces[(tmp_path / "two").stat().st_ino].processes == 1


def test_layer_is_measured_and_remembered(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 5000)
    size, inodes = stats.layer_size("c", tmp_path)
    assert size >= 5000
    assert inodes == 2
    (tmp_path / "g").write_text("later")
    assert stats.layer_size("c", tmp_path) == (size, inodes)
