"""The load on a Quorum: begin to read and write, end, and what came of it (`labsupport/quorum/load.py`)."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from labsupport import kube
from labsupport.cluster.quorumbench.place import SETTLED, SPACE, Place
from labsupport.kube.execute import execute

LONGEST = 600  # seconds
MOST_MEMBERS = 5

# argv: a JSON object of file names and contents.
PUT = """
import json, pathlib, sys
for name, content in json.loads(sys.argv[1]).items():
    file = pathlib.Path(name)
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
"""

# argv: Quorum, "write" or "read", count. Writes keys of which each has its own value, or prints how many are not there.
KNOWN = """
import json, sys
from labsupport.quorum.client import Client, Missing
name, what, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
urls = [f"https://{name}-{n}.{name}-members.bench-quorum.svc:7401" for n in range(5)]
client = Client(urls, open(f"/tmp/{name}/client").read(), f"/tmp/{name}/ca.crt", 60.0)
lost = 0
for n in range(count):
    if what == "write":
        client.put(f"known-{n}", str(n).encode())
        continue
    try:
        lost += client.get(f"known-{n}").value != str(n).encode()
    except Missing:
        lost += 1
print(lost)
"""


def begin(here: Place, pause: float = 0.01) -> Future[dict[str, Any]]:
    """Begin to read and write; what came of it, once `end` is called. `pause`: seconds between writes of a writer."""
    _introduce(here)
    about = f"/tmp/{here.name}"  # noqa: S108 - in the load's container
    _do(here, ["rm", "-f", f"{about}/stop"])
    words = ["python3", "-m", "labsupport.quorum", "load", "--members", str(MOST_MEMBERS)]
    words += ["--config", f"{about}/config.json", "--tokens", about, "--authority", f"{about}/ca.crt"]
    words += ["--seconds", str(LONGEST), "--stop", f"{about}/stop"]
    words += ["--pause", str(pause)]

    def run() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(_do(here, words, LONGEST + 300).strip().splitlines()[-1])
        return found

    return here.pool.submit(run)


def end(here: Place) -> None:
    """Have the load end."""
    _do(here, ["touch", f"/tmp/{here.name}/stop"])  # noqa: S108


def write_known(here: Place, count: int) -> None:
    """Write so many keys with known values."""
    _introduce(here)
    _do(here, ["python3", "-c", KNOWN, here.name, "write", str(count)], 60)


def lost_of_known(here: Place, count: int) -> int:
    """How many of them this Quorum does not have."""
    _introduce(here)
    return int(_do(here, ["python3", "-c", KNOWN, here.name, "read", str(count)], 60))


def _introduce(here: Place) -> None:
    """Tell the load's Pod what a client needs of this Quorum, as soon as the operator has made it."""
    config = _made(here, "ConfigMap", f"{here.name}-config")["data"]
    token = base64.b64decode(_made(here, "Secret", f"{here.name}-tokens")["data"]["client"]).decode()
    files = {"config.json": config["config.json"], "ca.crt": config["ca.crt"], "client": token}
    placed = {f"/tmp/{here.name}/{name}": content for name, content in files.items()}  # noqa: S108
    _do(here, ["python3", "-c", PUT, json.dumps(placed)])


def _made(here: Place, kind: str, name: str) -> dict[str, Any]:
    def there(objects: list[dict[str, Any]]) -> kube.Seen:
        return kube.Seen(bool(objects), "it is not made yet")

    (found,) = kube.until(here.api, kube.Target("v1", kind, name, SPACE), there, timeout=SETTLED)
    return found


def _do(here: Place, words: Sequence[str], timeout: float = 60.0) -> str:
    return execute(here.api, SPACE, "load", words, timeout=timeout)
