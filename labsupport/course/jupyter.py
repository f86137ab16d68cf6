"""JupyterLab for the course: on loopback, behind a token, its kernels on unix sockets.

Other users share this machine's loopback (house rule 7). The token is in a 0600 file, never on a command
line; the kernels' channels are sockets in a 0700 directory instead of TCP ports (jupyter_client, `transport
= ipc`). The learner's own Jupyter settings are neither read nor written, and nothing is fetched: no news,
no update check.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from labsupport import paths
from labsupport.cluster import process
from labsupport.errors import LabsError
from labsupport.patience import patient

START_TIMEOUT = patient(60.0)  # seconds; 2 on an idle machine
# A unix socket's path holds 107 bytes (unix(7)); Jupyter appends "/kernel-<36 characters>-ipc-5".
SOCKET_ROOM = 107 - 52


@dataclass(frozen=True)
class Server:
    """A running JupyterLab."""

    port: int
    token: str
    log: Path
    child: subprocess.Popen[bytes]

    def url(self, notebook: Path, root: Path) -> str:
        """The address that opens `notebook` (below `root`), with the token: keep it to yourself."""
        place = quote(notebook.relative_to(root).as_posix())
        return f"http://127.0.0.1:{self.port}/lab/tree/{place}?token={self.token}"


@contextmanager
def serve(
    root: Path, kubeconfig: Path, *, cluster: str = "", state: Path | None = None, for_tests: bool = False
) -> Iterator[Server]:
    """Run JupyterLab over the files below `root` while the block runs; it ends with the block, kernels
    included.

    `kubeconfig` and the name `cluster` are given to the kernels. `for_tests` lets a browser test reach the
    page's application object.
    Errors: LabsError with the end of the log if it does not start.
    """
    home = paths.private_directory((state or paths.state() / "jupyter") / secrets.token_hex(4))
    sockets = _socket_directory(home)
    # A learner's theme, and trust in the outputs of earlier days, outlive the server, but do not leak into tests.
    settings = paths.private_directory((home if state else paths.data()) / "jupyterlab-settings")
    try:
        token, port = secrets.token_urlsafe(32), _free_port()
        paths.write_private(home / "token", token)
        _configure(home, settings, root, port, for_tests)
        log = home / "server.log"
        with log.open("wb") as output:
            child = process.start(
                [sys.executable, "-m", "jupyterlab"],
                cwd=root,
                env=_environment(home, sockets, settings, kubeconfig)
                | ({"LABS_CLUSTER": cluster} if cluster else {}),
                stdout=output.fileno(),
                stderr=output.fileno(),
            )
        try:
            # A closed terminal must not leave a server behind, whose token nobody has any more.
            with process.termination_raised():
                _await(child, port, log)
                yield Server(port, token, log, child)
        finally:
            process.end(child, grace=8.0)
    finally:
        shutil.rmtree(sockets, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def run(notebook: Path, root: Path, kubeconfig: Path, *, cluster: str = "", browser: bool = True) -> int:
    """Serve `notebook` in the foreground until Ctrl-C or until JupyterLab is shut down from its menu.

    The address, which holds the token, is printed to stderr and opened in a browser where there is a display.
    """
    with serve(root, kubeconfig, cluster=cluster) as server:
        url = server.url(notebook, root)
        print(
            f"\n  JupyterLab: {url}\n  Ctrl-C here ends it; your notebooks are saved in {root}\n",
            file=sys.stderr,
        )
        if browser and has_display():
            webbrowser.open(url)
        try:
            server.child.wait()
        except KeyboardInterrupt:
            print("\n  JupyterLab ends; the cluster stays (`labs down` ends it).", file=sys.stderr)
    return 0


def has_display() -> bool:
    """Whether a browser that we open could be seen by somebody."""
    if sys.platform == "darwin":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER"))


def _environment(home: Path, sockets: Path, settings: Path, kubeconfig: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
    programs = str(Path(sys.executable).parent)
    return kept | {
        "PATH": programs + os.pathsep + kept.get("PATH", os.defpath),  # `!labs ...` in a cell is this labs
        "JUPYTER_TOKEN_FILE": str(home / "token"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(sockets),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(home / "ipython"),
        "LABS_KUBECONFIG": str(kubeconfig),
    }


def _configure(home: Path, settings: Path, root: Path, port: int, for_tests: bool) -> None:
    """Write the server's and the page's settings."""
    config = paths.private_directory(home / "config")
    for name in ("data", "workspaces", "ipython"):
        paths.private_directory(home / name)
    server = {
        "ServerApp": {
            "ip": "127.0.0.1",
            "port": port,
            "port_retries": 0,
            "open_browser": False,
            "allow_root": True,
            "root_dir": str(root),
            "use_redirect_file": False,
            "jpserver_extensions": {"jupyterlab": True, "jupyterlab_jupytext": False},
        },
        "KernelManager": {"transport": "ipc"},
        # Where it is noted which outputs the learner's own kernels made; without it they lose their pictures' colours.
        "NotebookNotary": {"data_dir": str(settings)},
        "LabApp": {
            "news_url": None,
            "check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "extension_manager": "readonly",
            "expose_app_in_browser": for_tests,
        },
    }
    paths.write_private(config / "jupyter_server_config.json", json.dumps(server, indent=1))
    page = paths.private_directory(config / "labconfig") / "page_config.json"
    disabled = {"@jupyterlab/apputils-extension:announcements": True, "jupyterlab-jupytext": True}
    paths.write_private(page, json.dumps({"disabledExtensions": disabled}))
    # Else a notebook opened the next day shows "model not found" where its verdicts were.
    defaults = {"@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": True}}
    paths.write_private(page.with_name("default_setting_overrides.json"), json.dumps(defaults))


def _socket_directory(home: Path) -> Path:
    if len(os.fsencode(home / "run")) <= SOCKET_ROOM:
        return paths.private_directory(home / "run")
    return Path(tempfile.mkdtemp(prefix="labs-", dir=os.environ.get("XDG_RUNTIME_DIR") or None))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the server accepts connections; the kernel offers no event for somebody else's port."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if child.poll() is not None:
            break
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise LabsError(f"JupyterLab did not start:\n{tail}", fix="make env installs it again")
