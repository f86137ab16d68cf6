"""A volume that is an image: its files, read-only, without programs that could be run from it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from .pods import SHELL, pod, start

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


def test_an_image_can_be_a_volume(kubectl: Kubectl, namespace: str) -> None:
    volumes = [{"name": "other", "image": {"reference": "labs.example/python:3.11"}}]
    mounts = [
        {"name": "other", "mountPath": "/other"},
        {"name": "other", "mountPath": "/part", "subPath": "etc"},
    ]
    start(kubectl, namespace, pod("reader", image=SHELL, volumes=volumes, container={"volumeMounts": mounts}))

    def run(script: str) -> str:
        done = kubectl("-n", namespace, "exec", "reader", "--", "sh", "-c", f"({script}) 2>&1", check=False)
        return done.stdout

    assert "Debian" in run("cat /other/etc/os-release")
    assert run("cat /other/etc/passwd") == run("cat /part/passwd")
    assert "Read-only file system" in run("touch /other/file")
    assert "Permission denied" in run("/other/usr/bin/true")


def test_a_path_out_of_the_image_is_refused(kubectl: Kubectl, namespace: str) -> None:
    volumes = [{"name": "other", "image": {"reference": "labs.example/python:3.11"}}]
    mounts = [{"name": "other", "mountPath": "/part", "subPath": "usr/lib/nothing-there"}]
    wanted = pod("reader", image=SHELL, volumes=volumes, container={"volumeMounts": mounts})
    start(kubectl, namespace, wanted, wait=False)
    waiting = "jsonpath={.status.containerStatuses[0].lastState.terminated.reason}=StartError"
    kubectl("-n", namespace, "wait", "pod/reader", f"--for={waiting}", "--timeout=60s", timeout=90)
