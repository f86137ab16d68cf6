"""A real Prometheus: Debian's package of a pinned version, fetched and checked as the course root's are, and cached."""

from __future__ import annotations

import hashlib
import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from labsupport import paths
from labsupport.cluster import process
from labsupport.cluster.courseroot import apt, description, make
from labsupport.console import phase
from labsupport.errors import LabsError
from tests.mesh.conftest import wait

LOCK = Path(__file__).with_name("prometheus.lock")
PROGRAMS = ("prometheus", "promtool")


def programs() -> Path:
    """The directory with `prometheus` and `promtool`. LabsError where they cannot be had."""
    release, architecture = description.host_platform()
    pin = description.read_lock(LOCK, release, architecture).get("prometheus")
    if pin is None:
        raise LabsError(f"no version of Prometheus is pinned for {release} {architecture}")
    directory = paths.cache() / "prometheus" / f"{pin.version}-{architecture}"

    def fill(temporary: Path) -> None:
        with phase("Debian's package prometheus") as progress:
            downloads = paths.cache() / "downloads" / "debs"
            private = apt.prepare(paths.cache() / "build" / "apt-prometheus", architecture, progress.update)
            apt.download(private, {"prometheus": pin.version}, downloads, progress.update)
        (file,) = downloads.glob(f"prometheus_{pin.version}_*.deb")
        if hashlib.sha256(file.read_bytes()).hexdigest() != pin.sha256:
            file.unlink()
            raise LabsError("the package prometheus is not the one that prometheus.lock names")
        subprocess.run(["dpkg-deb", "--extract", file, temporary / "all"], check=True)
        (temporary / "root").mkdir()
        for name in PROGRAMS:
            (temporary / "all/usr/bin" / name).rename(temporary / "root" / name)
        make.remove_tree(temporary / "all")
        (temporary / "manifest.json").write_text(json.dumps({"version": pin.version}))

    make.in_one_step(directory, fill)
    return directory / "root"


class Prometheus:
    """A running one."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **query: str) -> Any:
        """What its API answers; None before it answers."""
        with suppress(OSError):
            client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            client.request("GET", f"{path}?{urlencode(query)}")
            answer = client.getresponse()
            return json.loads(answer.read()) if answer.status == 200 else None
        return None

    def value(self, query: str) -> float | None:
        """The value of a query that gives one."""
        found = (self.get("/api/v1/query", query=query) or {"data": {"result": []}})["data"]["result"]
        return float(found[0]["value"][1]) if found else None


@contextmanager
def running(program: Path, place: Path, target: int, free: int) -> Iterator[Prometheus]:
    """One that scrapes 127.0.0.1:`target` every half second, and listens on the port `free`."""
    scrape = {"job_name": "mesh", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
    config = {"global": {"scrape_interval": "500ms", "scrape_timeout": "400ms"}, "scrape_configs": [scrape]}
    (place / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    words = [
        str(program / "prometheus"),
        f"--config.file={place / 'prometheus.yml'}",
        f"--storage.tsdb.path={place / 'data'}",
        f"--web.listen-address=127.0.0.1:{free}",
    ]
    with (place / "prometheus.log").open("ab") as log:
        child = process.start(words, stdout=log, stderr=log)
        try:
            made = Prometheus(free)

            def ready() -> Any:
                assert child.poll() is None, (place / "prometheus.log").read_text()
                return made.get("/api/v1/status/buildinfo")

            wait(ready, "Prometheus")
            yield made
        finally:
            process.end(child)
