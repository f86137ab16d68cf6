"""An image name means the same program on both back ends: each entry of the catalogue says the same on both."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from labsupport.cluster.images import Entry, read_catalogue
from labsupport.cluster.interface import Cluster

CATALOGUE = read_catalogue()
ENTRIES = [pytest.param(name, entry, id=name) for name, entry in sorted(CATALOGUE.images.items())]
# What the cluster tells every container, and what a shell sets for itself.
PROBE = r"""
id -u
id -g
pwd
env | grep -vE '^(KUBERNETES_|HOSTNAME=|SHLVL=|PWD=|OLDPWD=|_=)' | sort
cat /etc/passwd
for program in sh python3 curl ip nft iptables tcpdump openssl busybox; do
    path=$(command -v $program); echo $program $path $(sha256sum <$path)
done
python3 -c 'import sys, ssl, sqlite3; print(sys.version)'
python3 -c 'import labsupport; print(labsupport.__version__, labsupport.__file__)' 2>&1 | tail -1
"""


class Runner:
    """kubectl on one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._command = [str(cluster.kubectl()), "--kubeconfig", str(cluster.kubeconfig)]

    def __call__(self, *words: str, input: str = "") -> str:
        done = subprocess.run(
            [*self._command, *words], input=input, capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def once(self, name: str, image: str, **container: Any) -> str:
        """What a Pod wrote that ran to its end."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image, **container}]},
        }
        self("apply", "-f", "-", input=json.dumps(pod))
        self("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
        said = self("logs", name)
        self("delete", "pod", name, "--wait=false")
        return said


def programs_in(entry: Entry) -> str:
    """Lines for the probe: the digest of each program that the catalogue puts in this image."""
    return "\n".join(f"sha256sum {place}" for place in entry.programs.values())


def name_of(image: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in image.partition("/")[2])


@pytest.mark.parametrize(("image", "entry"), ENTRIES)
def test_the_same_programs_user_and_environment(
    image: str, entry: Entry, cluster: Cluster, embedded: Cluster
) -> None:
    command = ["sh", "-c", PROBE + programs_in(entry)]
    on_kind, on_embedded = (
        Runner(each).once(name_of(image), image, command=command) for each in (cluster, embedded)
    )
    assert on_kind == on_embedded
    assert str(entry.user) in on_kind.splitlines()[0]


# What an entry's own entrypoint is asked, as a Pod's `args`.
ASKED = {
    "labs.example/coredns:1.14.6": ["-version"],
    "labs.example/echo:1": ["--help"],
    "labs.example/envoy:1.40.0": ["--version"],
    "labs.example/python:3.11": [
        "python3",
        "-c",
        "import labsupport.shop.web as web; print(web.Handler.server_version)",
    ],
    **{name: ["--help"] for name in CATALOGUE.images if name.startswith("labs.example/quorum:")},
    "labs.example/shell:1": ["sh", "-c", "echo $0 $BASH_VERSION; curl --version | head -1"],
}
SERVERS = [
    name for name in sorted(CATALOGUE.images) if name.startswith(("labs.example/web:", "labs.example/shop:"))
]

# These do nothing without what they belong to: `labs conformance mesh --backend kind` tries the mesh's there,
# test_quorum.py the operator.
ELSEWHERE = ["labs.example/mesh-control:1", "labs.example/mesh-proxy:1", "labs.example/quorum-operator:1"]


def test_every_entry_is_asked_something() -> None:
    assert {*ASKED, *SERVERS, *ELSEWHERE} == set(CATALOGUE.images)


@pytest.mark.parametrize("image", sorted(ASKED))
def test_the_same_output(image: str, cluster: Cluster, embedded: Cluster) -> None:
    on_kind, on_embedded = (
        Runner(each).once(f"own-{name_of(image)}", image, args=ASKED[image]) for each in (cluster, embedded)
    )
    assert on_kind == on_embedded
    assert on_kind.strip()


@pytest.mark.parametrize("image", SERVERS)
def test_the_same_answers(image: str, cluster: Cluster, embedded: Cluster) -> None:
    answers = []
    for each in (cluster, embedded):
        run, name = Runner(each), f"serve-{name_of(image)}"
        run("run", name, f"--image={image}", "--restart=Never")
        run("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
        fetch = "for i in 1 2 3 4 5 6 7 8 9; do curl -sS http://127.0.0.1:8080/path && break; sleep 0.3; done"
        answers.append(json.loads(run("exec", name, "--", "sh", "-c", fetch)))
        run("delete", "pod", name, "--now", "--wait=false")
    assert answers[0] == answers[1]
    assert answers[0]["version"] == image.rpartition(":")[2]
