"""What the user does in the machine: from a clone to `make up`, lab 00's check and `labs down`.

Run by path by the machine's own Python; standard library only. Each line that begins with `@@ ` is a JSON object for
report.py: `step` (name, ok, seconds, peak_mb, detail) or `facts`; all others are what the commands said.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

SHARED = Path("/srv/labs/course")
COURSE = Path.home() / "course"
LABS = COURSE / ".venv/bin/labs"
PYTHON = COURSE / ".venv/bin/python"
SOLUTION = COURSE / "labs/source/00-start-here/solutions/00-expose/named-port.yaml"
STEP_SECONDS = 2400.0  # until one command is held to hang: a machine without KVM may be thirty times slower
PATIENCE = "20"  # LABS_PATIENCE: the deadlines of the course are for machines, not for their emulation
STATE = Path.home() / ".local/state/labs"
GROUPS = Path("/sys/fs/cgroup")


class Unexpected(Exception):
    """A step did not do what it must; the text says what was seen."""


class Memory(threading.Thread):
    """The machine's memory in use, as the kernel reckons what is available, looked at twice a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0

    def run(self) -> None:
        """Keep the largest value since it was last set back."""
        while True:
            self.peak = max(self.peak, used_mb())
            time.sleep(0.5)


def used_mb() -> int:
    """Memory that could not be had for something else."""
    values = {line.split(":")[0]: int(line.split()[1]) for line in read("/proc/meminfo").splitlines()}
    return (values["MemTotal"] - values["MemAvailable"]) // 1024


def read(path: str | Path) -> str:
    """A file's text, or why it cannot be read."""
    try:
        return Path(path).read_text(errors="replace").strip("\0\n ")
    except OSError as error:
        return f"({error.strerror})"


def tell(event: str, **values: Any) -> None:
    """One line for report.py."""
    print("@@ " + json.dumps({"event": event, **values}), flush=True)


def run(
    *argv: str | Path,
    expected: Sequence[int] = (0,),
    cwd: Path = COURSE,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command, show what it says, and return its standard output."""
    print("$ " + " ".join(map(str, argv)), flush=True)
    child = subprocess.Popen(
        list(map(str, argv)),
        cwd=cwd if cwd.is_dir() else Path.home(),
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    lines = []
    guard = threading.Timer(STEP_SECONDS, child.kill)
    guard.start()
    try:
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", flush=True)
            lines.append(line)
        status = child.wait()
    finally:
        guard.cancel()
    if status not in expected:
        raise Unexpected(f"{Path(argv[0]).name}: exit status {status}")
    return "".join(lines)


def facts() -> dict[str, Any]:
    """What of this machine decides whether a cluster can be."""
    own = GROUPS / read("/proc/self/cgroup").rpartition("::")[2].strip("/")
    manager = GROUPS / f"user.slice/user-{os.getuid()}.slice/user@{os.getuid()}.service"
    return {
        "system": re.sub(r'.*PRETTY_NAME="([^"]*)".*', r"\1", read("/etc/os-release"), flags=re.DOTALL),
        "kernel": os.uname().release,
        "python": read_python(),
        "uid": os.getuid(),
        "memory_mb": int(read("/proc/meminfo").split()[1]) // 1024,
        "processors": os.cpu_count(),
        "network": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "cgroup": str(own.relative_to(GROUPS)),
        "controllers": read(GROUPS / "cgroup.controllers"),
        "session_controllers": read(own / "cgroup.controllers"),
        "session_writable": os.access(own / "cgroup.procs", os.W_OK),
        "delegated": read(manager / "cgroup.controllers"),
        "delegated_writable": os.access(manager / "cgroup.procs", os.W_OK),
        "apparmor": read("/sys/module/apparmor/parameters/enabled"),
        "apparmor_profile": read("/proc/self/attr/current"),
        "lsm": read("/sys/kernel/security/lsm"),
        "unprivileged_userns_clone": read("/proc/sys/kernel/unprivileged_userns_clone"),
        "apparmor_restrict_unprivileged_userns": read(
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
        ),
        "max_user_namespaces": read("/proc/sys/user/max_user_namespaces"),
        "inotify_instances": read("/proc/sys/fs/inotify/max_user_instances"),
        "programs": [
            name for name in ("newuidmap", "docker", "pip", "uv", "gcc", "go", "nft", "ip") if on_path(name)
        ],
    }


def read_python() -> str:
    """The version of the machine's Python, which is the one that runs this."""
    return ".".join(map(str, __import__("sys").version_info[:3]))


def on_path(name: str) -> bool:
    """Whether there is a program of that name, also where only administrators look."""
    return any(Path(place, name).exists() for place in (*os.environ["PATH"].split(":"), "/usr/sbin", "/sbin"))


def loop() -> str:
    """How fast this machine is: a shell's loop, to be compared with the same on the machine that runs it."""
    began = time.monotonic()
    subprocess.run(["bash", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"], check=True)
    return f"100,000 turns of a shell's loop in {time.monotonic() - began:.1f} s"


# What belongs to the user, before and after.


def belongings() -> dict[str, set[str]]:
    """Processes of the user, namespaces of any process that can be looked at, mounts, devices, control groups."""
    processes, namespaces = set(), set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if entry.stat().st_uid == os.getuid() and entry.name != str(os.getpid()):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if words:  # a dead one that waits for its parent has none
                    processes.add(f"{entry.name} {words[:120]}")
            namespaces |= {os.readlink(link) for link in (entry / "ns").iterdir()}
        except OSError:
            continue  # gone, or another user's
    return {
        "processes": processes,
        "namespaces": namespaces,
        "mounts": {" ".join(line.split()[3:5]) for line in read("/proc/self/mountinfo").splitlines()},
        "devices": {path.name for path in Path("/sys/class/net").iterdir()},
        "control groups": {
            str(path.relative_to(GROUPS))
            for path in (GROUPS / "user.slice").rglob("*")
            # A slice is systemd's, which keeps it when what was in it has ended.
            if path.is_dir() and path.suffix != ".slice"
        },
        "clusters": {str(path) for path in (STATE / "clusters").glob("*")},
        "jupyter": {str(path) for path in (STATE / "jupyter").glob("*")},
    }


def nothing_left(before: Mapping[str, set[str]]) -> str:
    """Raises Unexpected with what is there now and was not before."""
    deadline = time.monotonic() + 20
    while True:  # the kernel takes namespaces away some time after their last process
        now = belongings()
        left = {kind: sorted(now[kind] - before[kind]) for kind in before if now[kind] - before[kind]}
        if not left:
            return "no process, namespace, mount, device, control group or cluster's file"
        if time.monotonic() > deadline:
            raise Unexpected(f"left: {left}")
        time.sleep(1)


# The steps.


def clone() -> str:
    """The course, as from its place on the network."""
    run("git", "clone", "--quiet", SHARED, COURSE)
    return run("git", "log", "-1", "--format=%h %s").strip()


def environment() -> str:
    """`make env`: all that was not there before."""
    run("make", "env")
    return run(PYTHON, "--version").strip()


def doctor() -> str:
    """`labs doctor`: a cluster can run, and what it warns of."""
    checks = json.loads(run(LABS, "doctor", "--json"))["checks"]
    run(LABS, "doctor")
    wrong = [f"{check['id']}: {check['message']}" for check in checks if not check["ok"]]
    if any(not check["ok"] and check["fatal"] for check in checks):
        raise Unexpected("; ".join(wrong))
    return f"{len(checks)} checks, {len(wrong)} warnings" + "".join(f"; {text}" for text in wrong)


class Up:
    """`make up`, which runs until it is interrupted."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.child: subprocess.Popen[str] | None = None
        self.base = self.token = ""

    def start(self) -> str:
        """Until JupyterLab answers on loopback: to whoever has the token, and to nobody else."""
        print("$ make up", flush=True)
        self.child = subprocess.Popen(
            ["make", "up"],
            cwd=COURSE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        deadline = time.monotonic() + STEP_SECONDS
        while not self.token:
            if self.child.poll() is not None:
                raise Unexpected(
                    f"make up ended with status {self.child.returncode}: {' | '.join(self.said[-4:])}"
                )
            if time.monotonic() > deadline:
                raise Unexpected(f"no address was printed: {' | '.join(self.said[-4:])}")
            time.sleep(0.1)
        return "JupyterLab has printed its address"

    def _listen(self) -> None:
        assert self.child is not None
        assert self.child.stdout is not None
        for line in self.child.stdout:
            print(line, end="", flush=True)
            self.said.append(line.strip())
            if found := re.search(r"(http://127\.0\.0\.1:\d+)/lab/tree/\S*\?token=(\S+)", line):
                self.base, self.token = found.groups()

    def ask(self) -> str:
        """JupyterLab's answers."""
        status = self._get("/api/status", self.token)
        contents = self._get("/api/contents/", self.token)
        page = self._get("/lab", self.token)
        refused = self._get("/api/contents/", "another")
        if (status[0], contents[0], page[0], refused[0]) != (200, 200, 200, 403):
            raise Unexpected(f"answers: {status}, {contents[0]}, {page[0]}, with a wrong token {refused[0]}")
        names = [entry["name"] for entry in json.loads(contents[1])["content"]]
        return f"200 with the token, 403 with another; notebooks: {', '.join(names)}"

    def _get(self, path: str, token: str) -> tuple[int, str]:
        request = urllib.request.Request(self.base + path, headers={"Authorization": f"token {token}"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=300) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, ""

    def interrupt(self) -> str:
        """Ctrl-C, as a terminal sends it: to all of the foreground's group."""
        if self.child is None or self.child.poll() is not None:
            return "it does not run"
        os.killpg(self.child.pid, signal.SIGINT)
        try:
            status = self.child.wait(STEP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            raise Unexpected("it did not end") from None
        if left := list((STATE / "jupyter").glob("*")):
            raise Unexpected(f"left of JupyterLab: {left}")
        return f"ended, status {status}"


def status() -> str:
    """`labs status --json` after JupyterLab has ended: the cluster stays."""
    seen = json.loads(run(LABS, "status", "--json"))
    components = [f"{entry['name']} {entry['pss_mb']:.0f}" for entry in seen["components"]]
    if not seen["ready"]:
        raise Unexpected(f"not ready: {seen.get('problems')}")
    total = sum(entry["pss_mb"] for entry in seen["components"])
    restarts = sum(entry["restarts"] for entry in seen["components"])
    return f"ready, {restarts} restarts, {total:.0f} MB (PSS): {', '.join(components)}"


def limits() -> str:
    """A container that passes its limit of memory: ended where the node says that limits are enforced."""
    node = json.loads(run(LABS, "kubectl", "get", "node", "node-1", "-o", "json"))
    conditions = {each["type"]: each for each in node["status"]["conditions"]}
    said = conditions["ContainerLimitsEnforced"]
    if said["status"] != "True":
        raise Unexpected(f"this machine delegates control groups, and the node says: {said['message']}")
    pod = ("kubectl", "-n", "default", "run", "hungry", "--restart=Never", "--image=labs.example/python:3.11")
    resources = {"limits": {"memory": "64Mi", "cpu": "500m"}}
    container = {"name": "hungry", "image": "labs.example/python:3.11", "resources": resources}
    container["command"] = ["python3", "-c", f"held = b'x' * {128 << 20}"]
    override = json.dumps({"spec": {"containers": [container]}})
    run(LABS, *pod, f"--overrides={override}")
    reason = "jsonpath={.status.containerStatuses[0].state.terminated.reason}"
    run(LABS, "kubectl", "wait", "pod/hungry", f"--for={reason}", f"--timeout={STEP_SECONDS:.0f}s")
    ended = run(
        LABS, "kubectl", "get", "pod", "hungry", "-o", "jsonpath={.status.containerStatuses[0].state}"
    )
    how = json.loads(ended)["terminated"]
    run(LABS, "kubectl", "delete", "pod", "hungry")
    if (how["reason"], how["exitCode"]) != ("OOMKilled", 137):
        raise Unexpected(f"a container with twice its limit of memory: {how}")
    return f"OOMKilled, exit code 137; {said['message']}"


def check() -> str:
    """Lab 00's exercise by commands: not yet, solved, passed."""
    namespace = json.loads(run(LABS, "start", "00", "--at", "00-expose", "--json"))["namespace"]
    before = json.loads(run(LABS, "check", "00-expose", "--json", expected=(1,)))
    run(LABS, "kubectl", "-n", namespace, "apply", "-f", SOLUTION)
    after = json.loads(run(LABS, "check", "00-expose", "--json", expected=(0, 1)))
    if (before["verdict"], after["verdict"]) != ("not_yet", "pass"):
        raise Unexpected(f"before {before}, after {after}")
    return f"{before['verdict']} unsolved, {after['verdict']} solved"


def notebook() -> str:
    """Lab 00's solution notebook from top to bottom, in a kernel, with its check as an assertion."""
    kubeconfig = run(LABS, "up").strip()
    environment = {"LABS_EXPECT": "pass", "LABS_KUBECONFIG": kubeconfig, "LABS_CLUSTER": "labs"}
    environment["PATH"] = f"{LABS.parent}:{os.environ['PATH']}"
    options = (
        "-q",
        "-p",
        "no:cacheprovider",
        "--nbval-lax",
        "--nbval-current-env",
        "--nbval-cell-timeout",
        "1800",
    )
    said = run(
        *(PYTHON, "-m", "pytest", *options, "--nbval-kernel-startup-timeout", "900"),
        COURSE / "labs/solutions/00-start-here.ipynb",
        env=environment,
    )
    return said.strip().splitlines()[-1].strip("= ")


def down() -> str:
    """`labs down`."""
    return run(LABS, "down").strip()


def look_closer() -> None:
    """Show what tells more of a failure: the cluster's state and the end of each of its logs."""
    subprocess.run([LABS, "status"], cwd=COURSE, check=False)
    logs = [*STATE.glob("clusters/labs/*.log"), *STATE.glob("clusters/labs/node/var/log/labs/*.log")]
    for log in logs:
        print(f"-- {log}", *read(log).splitlines()[-8:], sep="\n", flush=True)


def main() -> int:
    """All steps; what cannot be had without a failed one is left out, `labs down` never."""
    memory = Memory()
    memory.start()
    before = belongings()
    os.environ["LABS_PATIENCE"] = PATIENCE
    tell("facts", **facts())
    up = Up()
    failed = False
    steps: tuple[tuple[str, Callable[[], str], bool], ...] = (
        ("speed", loop, False),
        ("git clone", clone, False),
        ("make env", environment, False),
        ("labs doctor", doctor, False),
        ("make up", up.start, False),
        ("JupyterLab answers", up.ask, False),
        ("Ctrl-C", up.interrupt, True),
        ("labs status", status, False),
        ("a limit of memory", limits, False),
        ("lab 00: check", check, False),
        ("lab 00: notebook", notebook, False),
        ("labs down", down, True),
        ("nothing is left", lambda: nothing_left(before), True),
    )
    for name, act, always in steps:
        if failed and not (always and LABS.exists()):
            tell("step", name=name, ok=False, seconds=0, peak_mb=0, detail="left out")
            continue
        print(f"== {name}", flush=True)
        memory.peak = 0
        began = time.monotonic()
        try:
            ok, detail = True, act()
        except Exception as error:
            ok, detail, failed = False, f"{type(error).__name__}: {error}", True
        tell(
            "step",
            name=name,
            ok=ok,
            seconds=round(time.monotonic() - began, 1),
            peak_mb=max(memory.peak, used_mb()),
            detail=detail[:1500],
        )
        if not ok and LABS.exists():
            look_closer()
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
