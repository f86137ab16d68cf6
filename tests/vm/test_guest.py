"""QEMU's command line, and how a run is followed, with a shell in QEMU's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.errors import LabsError

from . import guest
from .image import Image

IMAGE = Image(Path("/cache/vm/bookworm-0123"), "bookworm", "6.1.0-57-cloud-amd64")


def value(words: list[str], option: str) -> list[str]:
    return [words[number + 1] for number, word in enumerate(words) if word == option]


@pytest.mark.parametrize(
    ("accelerator", "given", "processor"), [("kvm", "kvm", "host"), ("tcg", "tcg,thread=multi", "max")]
)
def test_the_machine_has_two_disks_and_no_network(accelerator: str, given: str, processor: str) -> None:
    words = guest.command(IMAGE, Path("/run/share.ext4"), Path("/run/console"), accelerator=accelerator)
    assert value(words, "-nic") == ["none"]
    assert (value(words, "-accel"), value(words, "-cpu")) == ([given], [processor])
    assert value(words, "-m") == ["4096"]
    disks = value(words, "-drive")
    assert [disk.rpartition("file=")[2] for disk in disks] == [
        "/cache/vm/bookworm-0123/disk.ext4",
        "/run/share.ext4",
    ]
    assert all("snapshot=on" in disk for disk in disks), "a run must not change what the next one begins with"
    assert value(words, "-serial") == ["file:/run/console", "stdio"]
    assert value(words, "-kernel") == ["/cache/vm/bookworm-0123/vmlinuz"]
    (settings,) = value(words, "-append")
    assert "root=/dev/vda" in settings
    assert ("clocksource=tsc" in settings) == (accelerator == "tcg")


def follow(
    program: str, console: Path, seconds: float = 20.0, silence: float = 20.0
) -> tuple[list[str], guest.Ended]:
    lines: list[str] = []
    ended = guest.run(["sh", "-c", program], console, lines.append, seconds=seconds, silence=silence)
    return lines, ended


def test_lines_are_handed_on_as_they_come(tmp_path: Path) -> None:
    lines, ended = follow(r"printf 'one\r\ntwo\nrest'", tmp_path / "console")
    assert lines == ["one", "two", "rest"]
    assert ended.boot_seconds is not None
    assert ended.accelerator == "tcg"


def test_a_machine_that_does_not_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "console").write_text("[ 1.0] Linux version\r\n[ 2.0] waiting for root\r\n")
    with pytest.raises(LabsError, match=r"did not end within 0 s\. Last line: hello\. .*waiting for root"):
        follow("echo hello; exec sleep 60", tmp_path / "console", seconds=0.3)


def test_a_machine_that_says_nothing_is_ended(tmp_path: Path) -> None:
    with pytest.raises(LabsError, match=r"said nothing for 0 s\. Last line: nothing"):
        follow("exec sleep 60", tmp_path / "console", silence=0.3)


def test_a_failed_start_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabsError, match="status 3"):
        follow("echo 'no such machine' >&2; exit 3", tmp_path / "console")
