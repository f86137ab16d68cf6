"""Run by path where there is no network: a learner's first minutes with a bundle. Prints what happened as JSON.

`offline_session.py BUNDLE DIGEST SOLUTION [BACKEND]`: cluster up from the bundle, lab 00 started, checked as it is,
solved by the manifest SOLUTION, checked again, cluster down. Steps that follow a failed one are not run.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

NAME = "offline"
LABS = [sys.executable, "-m", "labsupport.cli"]
PROBE = ("example.org", 80)


def reachable() -> str:
    """What of the network can be had: interfaces that are up beside loopback, and whether a name resolves."""
    try:
        socket.getaddrinfo(*PROBE)
        return "names resolve"
    except socket.gaierror:
        return ",".join(
            sorted({name for _, name in socket.if_nameindex()} - {"lo", "sit0", "tunl0", "ip6tnl0"})
        )


def main(bundle: str, digest: str, solution: str, backend: str = "embedded") -> dict[str, Any]:
    """Each step's exit status, seconds, standard output and error."""
    namespace = ""
    steps: dict[str, Any] = {"network": reachable()}
    made_of = ["--backend", backend, "--bundle", bundle, "--digest", digest]
    plan = [
        ("up", [*LABS, "up", "--name", NAME, *made_of, "--json"], 0),
        ("start", [*LABS, "start", "00", "--at", "00-expose", "--name", NAME, "--json"], 0),
        ("unsolved", [*LABS, "check", "00-expose", "--name", NAME, "--json"], 1),
        ("apply", [*LABS, "kubectl", "-n", "NAMESPACE", "apply", "-f", solution], 0),
        ("solved", [*LABS, "check", "00-expose", "--name", NAME, "--json"], 0),
        ("images", [*LABS, "images"], 0),
    ]
    try:
        for name, command, expected in plan:
            done = run([namespace if word == "NAMESPACE" else word for word in command])
            steps[name] = done
            if done["status"] != expected:
                break
            if name == "start":
                namespace = json.loads(done["out"])["namespace"]
    finally:
        steps["down"] = run([*LABS, "down", "--name", NAME])
    return steps


def run(command: list[str]) -> dict[str, Any]:
    """One step."""
    began = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "LABS_CLUSTER": NAME}
    )
    seconds = round(time.monotonic() - began, 2)
    return {"status": done.returncode, "seconds": seconds, "out": done.stdout, "err": done.stderr}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:5])))
