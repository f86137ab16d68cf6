"""What can go wrong with a cluster, and that the next command mends it. Each case adds a row to `faults.md`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from labsupport.cluster import get
from labsupport.cluster.embedded import holder
from labsupport.cluster.embedded.backend import EmbeddedCluster
from labsupport.cluster.embedded.inspect import node_processes
from labsupport.cluster.embedded.prepare import DEFINITIONS, node_directory, read_components

from .pods import pod, start

LABS = [sys.executable, "-m", "labsupport.cli"]
NAME = "faults"
RESULTS = Path(__file__).parents[2] / "test-results"
DEADLINE = 60.0
# As long as a node may be silent before it counts as gone, and more than a lease lasts; ten minutes are tried by hand.
ASLEEP = float(os.environ.get("LABS_ASLEEP_SECONDS", "55"))
COMPONENTS = [entry["name"] for entry in read_components(DEFINITIONS / "components.toml")["component"]]

Row = Callable[..., None]


@pytest.fixture(scope="module")
def row() -> Iterator[Row]:
    """Collects the table: state before, message, command, state after, seconds."""
    rows: list[tuple[str, ...]] = []

    def said(message: str) -> str:
        """What it said besides progress, in one line."""
        lines = [line for line in message.splitlines() if line and not line.startswith("  ")]
        return " ".join(lines or message.splitlines()).replace("|", "/")[:200]

    def add(fault: str, before: str, message: str, command: str, after: str, seconds: float) -> None:
        rows.append((fault, before, said(message), command, after, f"{seconds:.1f}"))

    yield add
    RESULTS.mkdir(exist_ok=True)
    head = ("fault", "state before", "message", "command", "state after", "seconds")
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ("---",) * len(head), *rows)]
    (RESULTS / "faults.md").write_text("\n".join(lines) + "\n")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedCluster]:
    """A cluster of the test's own, not yet made; taken down afterwards."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = get(NAME)
    assert isinstance(made, EmbeddedCluster)
    yield made
    made.down()


def labs(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `labs` to its end."""
    return subprocess.run([*LABS, *arguments], capture_output=True, text=True, timeout=120, check=False)


def up() -> tuple[subprocess.CompletedProcess[str], float]:
    """`labs up`, which must succeed; what it said and how long it took."""
    began = time.monotonic()
    done = labs("up", "--name", NAME)
    assert done.returncode == 0, done.stderr
    return done, time.monotonic() - began


def eventually(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> float:
    """Seconds until a condition that can only be asked for holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < deadline, f"not within {deadline:.0f} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began


def kubectl_of(cluster: EmbeddedCluster) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str, input: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        program = [str(cluster.kubectl()), "--kubeconfig", str(cluster.kubeconfig)]
        return subprocess.run(
            [*program, *arguments], input=input, text=True, check=check, capture_output=True, timeout=60
        )

    return run


def _status_ready(root: Path) -> bool:
    try:
        status = json.loads((root / "node/host/status.json").read_text())
    except (OSError, ValueError):
        return False
    return any(each["name"] == "kube-apiserver" and each["ready"] for each in status["components"])


def _applied(root: Path) -> bool:
    try:
        return "manifests" in json.loads((root / "cluster.json").read_text())
    except (OSError, ValueError):
        return False


POINTS: dict[str, Callable[[Path], object]] = {
    "the lock is taken": lambda root: (root.parent / f".{NAME}.lock").exists(),
    "certificates are being made": lambda root: (root / "node/etc/kubernetes/pki/ca.crt").exists(),
    "the node has been started": lambda root: (root / "launcher.json").exists(),
    "the API server is ready": _status_ready,
    "the manifests are applied": _applied,
}


@pytest.mark.parametrize("point", POINTS)
def test_ctrl_c_during_up(cluster: EmbeddedCluster, row: Row, point: str) -> None:
    process = subprocess.Popen(
        [*LABS, "up", "--name", NAME], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    eventually(lambda: POINTS[point](cluster.directory) or process.poll() is not None, point)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    # Python ends by the signal itself where Ctrl-C came while text was executed, as in making a dataclass; a shell
    # says 130 of both.
    assert process.returncode in (130, -signal.SIGINT), said
    assert "Traceback" not in said
    _, seconds = up()
    assert cluster.status().ready, cluster.status().problems
    row(f"Ctrl-C when {point}", "half made", said, "labs up", "ready", seconds)


def test_a_stale_lock(cluster: EmbeddedCluster, row: Row) -> None:
    cluster.directory.parent.mkdir(parents=True)
    (cluster.directory.parent / f".{NAME}.lock").write_text("`labs up` (process 1)\n")
    done, seconds = up()
    row(
        "stale lock",
        "lock file of a process that is gone",
        done.stderr,
        "labs up",
        "ready",
        seconds,
    )
    with cluster._directory.locked("down"):
        refused = labs("up", "--name", NAME)
    assert refused.returncode == 1
    assert f"in use by `labs down` (process {os.getpid()})" in refused.stderr
    row("lock held", "another command works on it", refused.stderr.strip(), "labs up", "untouched", 0)


def test_the_port_is_taken(cluster: EmbeddedCluster, row: Row) -> None:
    up()
    held = holder.find(cluster._directory)
    assert held
    cluster.down(keep=True)
    with socket.create_server(("127.0.0.1", held.port)):
        done, seconds = up()
        assert f"port {held.port} is taken" in done.stderr
        assert kubectl_of(cluster)("get", "node").returncode == 0
    message = next(line for line in done.stderr.splitlines() if "is taken" in line)
    row(
        "port taken",
        "stopped; another program has the port",
        message.strip(),
        "labs up",
        "ready, another port",
        seconds,
    )


@pytest.mark.parametrize("size", ["300k", "24m"])
def test_a_full_disk(cluster: EmbeddedCluster, row: Row, tmp_path: Path, size: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system for it")
    (tmp_path / "state").mkdir()
    small = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(tmp_path / "state")]
    subprocess.run(small, check=True)
    try:
        refused = labs("up", "--name", NAME)
        assert refused.returncode == 1
        assert "full" in refused.stderr, refused.stderr
        assert "Traceback" not in refused.stderr
        subprocess.run(["mount", "-o", "remount,size=2g", str(tmp_path / "state")], check=True)
        _, seconds = up()
        row(
            f"disk full ({size})",
            "half made",
            refused.stderr.strip(),
            "labs up (with space)",
            "ready",
            seconds,
        )
    finally:
        cluster.down()
        subprocess.run(["umount", str(tmp_path / "state")], check=True)


def test_a_half_written_kubeconfig(cluster: EmbeddedCluster, row: Row) -> None:
    up()
    whole = cluster.kubeconfig.read_text()
    cluster.kubeconfig.write_text(whole[: len(whole) // 2])
    broken = labs("status", "--name", NAME)
    assert broken.returncode == 1
    assert "Traceback" not in broken.stderr
    _, seconds = up()
    assert cluster.kubeconfig.read_text() == whole
    row(
        "kubeconfig half written",
        "running",
        broken.stderr.strip() or broken.stdout.strip(),
        "labs up",
        "ready",
        seconds,
    )


def test_a_damaged_store(cluster: EmbeddedCluster, row: Row) -> None:
    up()
    cluster.down(keep=True)
    for log in node_directory(cluster._directory).store.rglob("*.wal"):
        content = bytearray(log.read_bytes())
        content[:4096] = os.urandom(4096)
        log.write_bytes(content)
    refused = labs("up", "--name", NAME)
    assert refused.returncode == 1
    assert "store is damaged" in refused.stderr, refused.stderr
    assert "--rebuild" in refused.stderr
    began = time.monotonic()
    rebuilt = labs("up", "--name", NAME, "--rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    seconds = time.monotonic() - began
    row("store damaged", "stopped", refused.stderr.strip(), "labs up --rebuild", "ready, empty", seconds)


def test_killed_launcher_takes_everything_with_it_and_keeps_the_data(
    cluster: EmbeddedCluster, row: Row
) -> None:
    up()
    kubectl = kubectl_of(cluster)
    kubectl("create", "configmap", "kept", "--from-literal=a=b")
    held = holder.find(cluster._directory)
    assert held
    os.kill(held.launcher, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{held.init}").exists(), "the node's pid 1 has ended")
    _, seconds = up()
    assert kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}").stdout == "b"
    row("kill -9 launcher", "running", "(none: nobody was asked)", "labs up", "ready, data kept", seconds)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    """A cluster with a Pod in it, for the kills below."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("busy")))
        made = get(NAME)
        assert isinstance(made, EmbeddedCluster)
        made.up()
        start(kubectl_of(made), "default", pod("survivor"))
        yield made
        made.down()


def container_of_survivor(cluster: EmbeddedCluster) -> str:
    """The id of the Pod's container, which another one would not have."""
    path = "jsonpath={.status.containerStatuses[0].containerID}"
    return kubectl_of(cluster)("get", "pod", "survivor", "-o", path).stdout


def new_pod(cluster: EmbeddedCluster, name: str) -> None:
    """Start a Pod, which must become Ready, and take it away."""
    kubectl = kubectl_of(cluster)
    sleep = ("--image=labs.example/shell:1", "--restart=Never", "--command", "--", "sleep", "1000")
    kubectl("run", name, *sleep)
    kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=50s")
    kubectl("delete", "pod", name, "--wait=false", "--grace-period=0", "--force")


def test_a_closed_lid(busy: EmbeddedCluster, row: Row) -> None:
    before = container_of_survivor(busy)
    held = holder.find(busy._directory)
    assert held
    launcher = psutil.Process(held.launcher)
    everything = [launcher, *launcher.children(recursive=True)]
    try:
        for process in everything:
            process.suspend()
        time.sleep(ASLEEP)  # this is what is tested
    finally:
        for process in reversed(everything):
            process.resume()
    seconds = eventually(lambda: busy.status().ready, "ready again")
    new_pod(busy, "awake")
    kubectl_of(busy)("wait", "pod/survivor", "--for=condition=Ready", "--timeout=50s")
    assert container_of_survivor(busy) == before
    row(
        f"asleep for {ASLEEP:.0f} s", "running, one Pod", "(none)", "(none)", "ready, Pods untouched", seconds
    )


@pytest.mark.parametrize("victim", COMPONENTS)
def test_kill_9_of_a_component(busy: EmbeddedCluster, row: Row, victim: str) -> None:
    kubectl = kubectl_of(busy)
    before = container_of_survivor(busy)
    held = holder.find(busy._directory)
    assert held

    def component() -> dict[str, object]:
        status = json.loads((busy.directory / "node/host/status.json").read_text())
        return next(each for each in status["components"] if each["name"] == victim)

    restarts = component()["restarts"]
    began = time.monotonic()
    os.kill(node_processes(held)[int(str(component()["pid"]))].pid, signal.SIGKILL)
    eventually(
        lambda: component()["restarts"] != restarts and component()["state"] == "running", "started again"
    )
    eventually(lambda: busy.status().ready, "ready again")
    new_pod(busy, f"after-{victim}")
    seconds = time.monotonic() - began
    last_exit = str(component()["last_exit"])
    assert "SIGKILL" in last_exit
    kubectl("wait", "pod/survivor", "--for=condition=Ready", "--timeout=50s")
    survived = container_of_survivor(busy) == before
    # The monitor holds the pipes of the containers' output: without it they end, and the kubelet starts them anew.
    assert survived is (victim != "container-monitor")
    if not survived:
        lost = ("get", "events", "--field-selector=involvedObject.name=survivor,reason=ContainersLost")
        eventually(lambda: "main ended" in kubectl(*lost).stdout, "an event tells why")
    pods = "Pods untouched" if survived else "Pods restarted"
    row(
        f"kill -9 {victim}", "running, one Pod", last_exit, "(none)", f"ready, {pods}, new Pod Ready", seconds
    )
