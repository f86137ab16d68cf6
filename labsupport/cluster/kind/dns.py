"""Whether cluster DNS answers, asked from a node, hence through kube-proxy's rules."""

from __future__ import annotations

import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.cluster.kind.docker import Engine
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

ADDRESS = "10.96.0.10"  # what kubeadm gives the Service kube-dns in clusters/kind/cluster.yaml's range
NAME = "kubernetes.default.svc.cluster.local."
POLL = 0.2  # seconds; a name server offers no event


def wait(engine: Engine, node: str, api: ApiClient, seconds: float, update: Callable[[str], None]) -> None:
    """Wait until cluster DNS answers the name of the API's Service. LabsError with what was seen last."""
    if not engine.run("exec", node, "sh", "-c", "command -v socat").ok:
        # An image that has nothing to ask with: what the Deployment says must do.
        target = kube.Target("apps/v1", "Deployment", "coredns", "kube-system")
        kube.until(api, target, kube.ready, timeout=seconds, progress=update)
        return
    deadline = time.monotonic() + seconds
    while problem := ask(engine, node):
        if time.monotonic() > deadline:
            raise LabsError(
                f"Cluster DNS did not answer within {seconds:.0f} s: {problem}.",
                fix="`labs kubectl -n kube-system describe pod -l k8s-app=kube-dns` says why",
                anchor="dns",
            )
        update(problem)
        time.sleep(POLL)


def ask(engine: Engine, node: str) -> str:
    """Why cluster DNS does not answer; "" where it does. DNS over TCP: RFC 7766, two bytes of length in front."""
    import dns.exception
    import dns.message

    question = dns.message.make_query(NAME, "A")
    wire = question.to_wire()
    command: list[str | Path] = [
        engine.path,
        "exec",
        "-i",
        node,
        "socat",
        "-t",
        "2",
        "-",
        f"TCP4:{ADDRESS}:53,connect-timeout=2",
    ]
    try:
        done = subprocess.run(
            command, input=struct.pack(">H", len(wire)) + wire, capture_output=True, timeout=10
        )
        if len(done.stdout) < 3:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            return said[-1] if said else "no answer"
        answer = dns.message.from_wire(done.stdout[2:])
    except (OSError, subprocess.TimeoutExpired, dns.exception.DNSException) as error:
        return str(error) or type(error).__name__
    return "" if answer.answer else f"answered {answer.rcode().name}"
