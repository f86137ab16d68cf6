"""QEMU: its command line, whether KVM may be used, and a run of the machine from power on to power off.

The machine has two disks, of which it changes copies only, two serial ports and nothing else: no network device.
The first port is the kernel's console; over the second one comes what the script says (inside/start).
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labsupport.cluster import process
from labsupport.errors import LabsError

from .image import Image, search_path

MEMORY_MB = 4096
PROCESSORS = 2
TRIAL_SECONDS = 8.0  # a kernel says its first words within one second under TCG
# A machine with nothing that is not named: no network above all.
BARE = (
    *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-machine", "q35"),
    *("-display", "none", "-nic", "none"),
)
# What an emulated machine need not do: ask QEMU's timer for the time (the kernel distrusts the counters of two emulated
# processors; reading them was seen to take a third as long), and guard against leaks that such processors do not have.
OF_EMULATION = " tsc=reliable clocksource=tsc mitigations=off"
FIRST_WORDS = b"Linux version"

Words = Callable[[Path], list[str]]  # from the console's file to the words that start a machine


@dataclass(frozen=True)
class Ended:
    """How a machine's run ended."""

    seconds: float
    accelerator: str
    peak_mb: int  # QEMU's own memory on this machine
    boot_seconds: float | None  # until the first line of the script's port


def command(
    image: Image,
    share: Path,
    console: Path,
    *,
    accelerator: str,
    memory_mb: int = MEMORY_MB,
    processors: int = PROCESSORS,
) -> list[str]:
    """The words that start the machine, its second serial port on standard output."""
    speed = {"kvm": ("kvm", "host"), "tcg": ("tcg,thread=multi", "max")}[accelerator]
    settings = "root=/dev/vda rw console=ttyS0 panic=-1 systemd.show_status=no"
    if accelerator == "tcg":
        settings += OF_EMULATION
    return [
        *BARE,
        *(
            "-accel",
            speed[0],
            "-cpu",
            speed[1],
            "-smp",
            str(processors),
            "-m",
            str(memory_mb),
        ),
        *("-kernel", str(image.directory / "vmlinuz"), "-initrd", str(image.directory / "initrd.img")),
        *("-append", settings),
        # Written to a copy that ends with QEMU: every run begins alike.
        *("-drive", f"if=virtio,format=raw,snapshot=on,cache=unsafe,file={image.disk}"),
        *("-drive", f"if=virtio,format=raw,snapshot=on,cache=unsafe,file={share}"),
        *("-device", "virtio-rng-pci"),
        *("-serial", f"file:{console}", "-serial", "stdio"),
    ]


def usable_kvm(image: Image, scratch: Path) -> bool:
    """Whether a kernel really starts under KVM: where /dev/kvm can be opened, machines may hang nevertheless."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    console = scratch / "kvm-trial"
    console.touch()
    words = [
        *BARE,
        *("-accel", "kvm", "-cpu", "host", "-m", "256", "-kernel", str(image.directory / "vmlinuz")),
        *("-append", "console=ttyS0 earlyprintk=serial panic=-1", "-serial", f"file:{console}"),
    ]
    child = process.start(
        words, env=os.environ | {"PATH": search_path()}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + TRIAL_SECONDS
        while time.monotonic() < deadline:
            if FIRST_WORDS in console.read_bytes():
                return True
            if child.poll() is not None:
                return False
            time.sleep(0.05)
        return False
    finally:
        process.end(child, grace=1.0)


def run(
    words: list[str], console: Path, on_line: Callable[[str], None], *, seconds: float, silence: float
) -> Ended:
    """Run a machine until it switches itself off; `on_line` gets each line of the second port as it comes.

    LabsError, with what was seen last, where it does not end within `seconds` or says nothing for `silence`.
    """
    began = time.monotonic()
    accelerator = "kvm" if "kvm" in words else "tcg"
    with process.termination_raised():
        child = process.start(words, env=os.environ | {"PATH": search_path()}, stderr=subprocess.STDOUT)
        try:
            peak, boot = _follow(child, console, on_line, seconds=seconds, silence=silence)
        finally:
            process.end(child, grace=2.0)
            if child.stdout is not None:
                child.stdout.close()
    if child.returncode != 0:
        raise LabsError(f"QEMU ended with status {child.returncode}. {last_words(console)}")
    return Ended(time.monotonic() - began, accelerator, peak, boot)


def _follow(
    child: subprocess.Popen[bytes],
    console: Path,
    on_line: Callable[[str], None],
    *,
    seconds: float,
    silence: float,
) -> tuple[int, float | None]:
    """Hand on the lines until the port is closed; QEMU's peak memory, and when the first line came."""
    assert child.stdout is not None
    began = heard = time.monotonic()
    boot: float | None = None
    partial, peak, last = b"", 0, "nothing"
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if now - began > seconds:
                raise LabsError(
                    f"the machine did not end within {seconds:.0f} s. Last line: {last}. {last_words(console)}"
                )
            if now - heard > silence:
                raise LabsError(
                    f"the machine said nothing for {silence:.0f} s. Last line: {last}. {last_words(console)}"
                )
            peak = max(peak, memory_mb(child.pid))
            if not selector.select(min(2.0, seconds, silence)):
                continue
            chunk = os.read(child.stdout.fileno(), 65536)
            if not chunk:
                if partial:
                    on_line(partial.decode(errors="replace"))
                child.wait(30)
                return peak, boot
            heard = time.monotonic()
            *lines, partial = (partial + chunk).split(b"\n")
            for raw in lines:
                boot = heard - began if boot is None else boot
                last = raw.decode(errors="replace").rstrip("\r")
                on_line(last)


def last_words(console: Path, lines: int = 6) -> str:
    """The end of the kernel's console, for an error."""
    try:
        said = [line.strip() for line in console.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        said = []
    return "Console: " + (" | ".join(said[-lines:]) or "nothing")


def memory_mb(pid: int) -> int:
    """The most memory that a process ever had resident; 0 where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next(
        (int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0
    )
