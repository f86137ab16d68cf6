"""The command line: what it prints, its exit status, and that it starts at once. No cluster is needed."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from labsupport import cli
from labsupport import cluster as clusters
from labsupport.cli import application
from labsupport.cluster.interface import ClusterStatus, Component, UpReport
from labsupport.errors import LabsError


class FakeCluster:
    """A cluster that is what the test says."""

    def __init__(self, directory: Path, *, ready: bool = True) -> None:
        self.name, self.backend, self.directory = "labs", "embedded", directory
        self.kubeconfig = directory / "kubeconfig"
        self.ready = ready
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def exists(self) -> bool:
        return True

    def up(self, **options: Any) -> UpReport:
        self.calls.append(("up", options))
        return UpReport("created", 4.321, (("API server", 3.0), ("Node", 1.321)))

    def down(self, **options: Any) -> None:
        self.calls.append(("down", options))

    def status(self) -> ClusterStatus:
        return ClusterStatus(
            ready=self.ready,
            running=True,
            backend="embedded",
            name="labs",
            unofficial_build=True,
            components=(
                Component("etcd", "running", 0, 40.4),
                Component("kubelet", "restarting", 2, None, "exit status 1 after 3 s"),
            ),
            kubeconfig=self.kubeconfig,
            api="https://127.0.0.1:40000",
            problems=() if self.ready else ("kubelet has ended 2 times",),
        )

    def kubectl(self) -> Path:
        return Path(self.directory / "kubectl")

    def url(self, service: str, namespace: str, port: int | None = None) -> str:
        return f"http://127.0.0.1:4/{namespace}/{service}/{port}"


Use = Callable[[FakeCluster], FakeCluster]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    def install(cluster: FakeCluster) -> FakeCluster:
        monkeypatch.setattr(clusters, "get", lambda *_, **__: cluster)
        return cluster

    return install


def test_up_prints_the_kubeconfig_alone(use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = use(FakeCluster(tmp_path))
    assert cli.main(["up"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/kubeconfig\n"
    assert cluster.calls == [("up", {"rebuild": False})]


def test_up_as_json(use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = use(FakeCluster(tmp_path))
    assert cli.main(["up", "--rebuild", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["action"] == "created"
    assert data["phases"] == {"API server": 3.0, "Node": 1.32}
    assert cluster.calls == [("up", {"rebuild": True})]


@pytest.mark.parametrize(("ready", "status"), [(True, 0), (False, 1)])
def test_status_is_zero_only_when_ready(
    use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str], ready: bool, status: int
) -> None:
    use(FakeCluster(tmp_path, ready=ready))
    assert cli.main(["status", "--json"]) == status
    data = json.loads(capsys.readouterr().out)
    assert data["ready"] is ready
    assert data["unofficial_build"] is True
    assert set(data["components"][0]) >= {"name", "state", "restarts", "pss_mb"}


def test_status_for_a_person(use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeCluster(tmp_path, ready=False))
    cli.main(["status"])
    text = capsys.readouterr().out
    assert "running, not ready" in text
    assert "unofficial build" in text
    assert "exit status 1 after 3 s" in text
    assert "40 MB" in text
    assert "kubelet has ended 2 times" in text


def test_down_keeps_only_if_asked(use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = use(FakeCluster(tmp_path))
    assert cli.main(["down"]) == 0
    assert "gone" in capsys.readouterr().out
    assert cli.main(["down", "--keep"]) == 0
    assert "kept" in capsys.readouterr().out
    assert cluster.calls == [("down", {"keep": False}), ("down", {"keep": True})]


def test_url_passes_namespace_and_port(use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeCluster(tmp_path))
    assert cli.main(["url", "web", "-n", "shop", "--port", "80"]) == 0
    said = capsys.readouterr()
    assert said.out == "http://127.0.0.1:4/shop/web/80\n"
    assert "every user of this machine" in said.err


def test_kubectl_gets_every_word_and_our_kubeconfig(
    use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = use(FakeCluster(tmp_path))
    cluster.kubeconfig.touch()
    executed: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *words: executed.append(words))
    cli.main(["kubectl", "get", "--help", "-o", "json", "--", "--name=x"])
    ((program, words, environment),) = executed
    assert program == tmp_path / "kubectl"
    assert words == ["kubectl", "get", "--help", "-o", "json", "--", "--name=x"]
    assert environment["KUBECONFIG"] == str(cluster.kubeconfig)


def test_kubectl_without_a_cluster_says_what_to_do(
    use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeCluster(tmp_path))
    assert cli.main(["kubectl", "version"]) == 1
    assert "labs up" in capsys.readouterr().err


def test_an_error_is_told_in_words_and_is_status_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LabsError("The disk is full.", fix="free some", anchor="disk-full")

    monkeypatch.setattr(clusters, "get", broken)
    assert cli.main(["up"]) == 1
    error = capsys.readouterr().err
    assert "The disk is full." in error
    assert "Next: free some" in error
    assert "clusters/README.md#disk-full" in error
    assert "Traceback" not in error


def test_an_interruption_says_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clusters, "get", interrupted)
    assert cli.main(["up"]) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["upp"]) == 2
    assert "upp" in capsys.readouterr().err


def test_a_bad_name_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--name", "../x"]) == 2
    assert "lower-case" in capsys.readouterr().err


def test_the_name_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABS_CLUSTER", "Not A Name")
    assert cli.main(["status"]) == 2


@pytest.mark.parametrize("name", list(application.COMMANDS))
def test_each_command_of_the_table_exists_and_explains_itself(name: str) -> None:
    module = importlib.import_module(f"labsupport.cli.{application.COMMANDS[name][0]}")
    command = getattr(module, f"{name}_command")
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help
    assert application.COMMANDS[name][1].endswith(".")


REPORTING = [
    name for name in application.COMMANDS if name not in ("kubectl", "notebook", "bench", "conformance")
]


@pytest.mark.parametrize("name", REPORTING)
def test_each_reporting_command_has_a_json_form(name: str) -> None:
    module = importlib.import_module(f"labsupport.cli.{application.COMMANDS[name][0]}")
    command = getattr(module, f"{name}_command")
    for each in command.commands.values() if isinstance(command, click.Group) else [command]:
        assert "--json" in {option for parameter in each.params for option in parameter.opts}, each.name


def test_doctor_fails_when_a_fatal_check_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from labsupport.cluster import doctor

    checks = [doctor.Check("memory", False, True, "0.5 GB", "close other programs", "memory")]
    monkeypatch.setattr(doctor, "examine", lambda *_: tuple(checks))
    assert cli.main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["checks"][0]["id"] == "memory"
    checks[0] = doctor.Check("memory", False, False, "2 GB", "close other programs", "memory")
    assert cli.main(["doctor"]) == 0


HEAVY = {
    "kubernetes",
    "jupyterlab",
    "jupytext",
    "nbformat",
    "IPython",
    "ipywidgets",
    "pydantic",
    "cryptography",
}


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["kubectl", "--help"]])
def test_starting_imports_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    """What is imported decides how long a command takes to start; seconds would depend on the machine."""
    program = (
        "import os, pathlib, sys\n"
        "from labsupport import cli, cluster\n"
        "class Cluster:\n"
        "    name, kubeconfig = 'labs', pathlib.Path('/dev/null')\n"
        "    def kubectl(self): return pathlib.Path('/bin/true')\n"
        "cluster.get = lambda *words: Cluster()\n"
        "os.execve = lambda *words: None\n"
        f"cli.main({words!r})\n"
        "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("MODULES")]
    assert HEAVY.isdisjoint(line.split())


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    labs = Path(sys.executable).with_name("labs")
    command = f"{labs} --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
