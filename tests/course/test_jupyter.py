"""How JupyterLab is set up, and that it ends with the command that started it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from labsupport.course import jupyter


def test_settings_keep_it_on_loopback_with_kernels_on_sockets_and_without_news(tmp_path: Path) -> None:
    jupyter._configure(tmp_path, tmp_path / "settings", tmp_path / "root", 4321, for_tests=False)
    path = tmp_path / "config" / "jupyter_server_config.json"
    settings = json.loads(path.read_text())
    assert settings["ServerApp"]["ip"] == "127.0.0.1"
    assert settings["ServerApp"]["port"] == 4321
    assert settings["KernelManager"]["transport"] == "ipc"
    assert not settings["LabApp"]["expose_app_in_browser"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    page = json.loads((tmp_path / "config" / "labconfig" / "page_config.json").read_text())
    assert page["disabledExtensions"]["@jupyterlab/apputils-extension:announcements"]


def test_the_learners_own_jupyter_settings_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_TOKEN", "known")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", "/elsewhere")
    environment = jupyter._environment(
        tmp_path, tmp_path / "run", tmp_path / "settings", tmp_path / "kubeconfig"
    )
    assert "JUPYTER_TOKEN" not in environment
    assert environment["JUPYTER_CONFIG_DIR"] == str(tmp_path / "config")
    assert environment["LABS_KUBECONFIG"] == str(tmp_path / "kubeconfig")


def test_a_long_home_gets_sockets_in_a_short_private_directory(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60)
    deep.mkdir()
    place = jupyter._socket_directory(deep)
    try:
        assert len(os.fsencode(place)) <= jupyter.SOCKET_ROOM
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    finally:
        place.rmdir()


@pytest.mark.parametrize(("name", "value", "seen"), [("DISPLAY", ":0", True), ("DISPLAY", "", False)])
def test_no_browser_is_opened_where_nobody_would_see_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, seen: bool
) -> None:
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, value)
    assert jupyter.has_display() is seen


RUN = (
    "import sys; from pathlib import Path; from labsupport.course import jupyter\n"
    "jupyter.run(Path(sys.argv[1]) / 'x.ipynb', Path(sys.argv[1]), Path(sys.argv[1]) / 'none', browser=False)"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_no_server_outlives_the_command_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }
    (tmp_path / "root").mkdir()
    command = [sys.executable, "-c", RUN, str(tmp_path / "root")]

    def heed() -> None:
        # Under nohup, or behind a shell's `&`, the tests themselves would have inherited that it is ignored.
        signal.signal(number, signal.SIG_DFL)

    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=heed
    ) as running:
        assert running.stderr
        for line in running.stderr:
            if "http://127.0.0.1" in line:
                break
        children = psutil.Process(running.pid).children(recursive=True)
        assert children
        running.send_signal(number)
        running.communicate(timeout=30)
    _, alive = psutil.wait_procs(children, timeout=1)
    assert alive == []
    assert list((tmp_path / "state/labs/jupyter").iterdir()) == []
