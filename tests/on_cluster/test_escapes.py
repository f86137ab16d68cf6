"""Nothing of the learner's machine is within reach of a Pod, whatever the Pod asks for; nor of other users.

As root and as an ordinary user the same tests hold: run them as both.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labsupport.cluster.interface import Cluster

from .pods import pod, start

Kubectl = Callable[..., Any]
BAIT = "a learner's own words"


@pytest.fixture
def bait() -> Iterator[Path]:
    """A file of the learner's in the home directory and one in /tmp, both readable to all."""
    paths = [Path(tempfile.mkdtemp(prefix="labs-bait-", dir=place)) for place in (Path.home(), "/tmp")]
    for path in paths:
        path.chmod(0o755)
        (path / "diary").write_text(BAIT)
    yield paths[1]
    for path in paths:
        (path / "diary").unlink(missing_ok=True)
        path.rmdir()


def run_in(kubectl: Kubectl, namespace: str, name: str, *command: str) -> tuple[int, str]:
    """Exit status and all output of a command in a Pod."""
    done = kubectl("-n", namespace, "exec", name, "--", *command, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def powerful(kubectl: Kubectl, namespace: str) -> str:
    """A Pod with everything that can be asked for: privileged, the node's pids, network, ipc and root directory."""
    start(
        kubectl,
        namespace,
        pod(
            "powerful",
            hostPID=True,
            hostNetwork=True,
            hostIPC=True,
            volumes=[{"name": "host", "hostPath": {"path": "/"}}],
            container={
                "securityContext": {"privileged": True},
                "volumeMounts": [{"name": "host", "mountPath": "/host"}],
            },
        ),
    )
    return "powerful"


def test_host_path_does_not_lead_to_the_learners_files(
    kubectl: Kubectl, namespace: str, powerful: str, bait: Path
) -> None:
    for place in ("/host", "/host/proc/1/root", "/proc/1/root"):
        code, seen = run_in(
            kubectl, namespace, powerful, "ls", "-A", f"{place}/home", f"{place}/tmp", f"{place}/root"
        )
        assert code == 0, seen
        assert "labs-bait" not in seen
    code, seen = run_in(
        kubectl, namespace, powerful, "grep", "-rl", BAIT, "/host/home", "/host/tmp", "/host/root"
    )
    assert code == 1, seen


def test_the_nodes_pids_are_not_the_learners(kubectl: Kubectl, namespace: str, powerful: str) -> None:
    _, seen = run_in(kubectl, namespace, powerful, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "kubelet" in seen, "hostPID should show the node's processes"
    assert "pytest" not in seen
    assert "embedded.launcher" not in seen


def test_a_unix_socket_of_the_host_is_not_there(
    kubectl: Kubectl, namespace: str, powerful: str, bait: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as by_path, socket.socket(socket.AF_UNIX) as abstract:
        by_path.bind(str(bait / "socket"))
        by_path.listen()
        abstract.bind("\0labs-bait")
        abstract.listen()
        program = (
            "import socket, sys\n"
            f"for name in ({str(bait / 'socket')!r}, '/host' + {str(bait / 'socket')!r}, '\\0labs-bait'):\n"
            "    try: socket.socket(socket.AF_UNIX).connect(name); sys.exit('reached ' + repr(name))\n"
            "    except OSError as error: print(error)\n"
        )
        code, seen = run_in(kubectl, namespace, powerful, "python3", "-c", program)
        assert code == 0, seen
        (bait / "socket").unlink()


def test_read_only_parts_stay_so_for_a_privileged_pod(
    kubectl: Kubectl, namespace: str, powerful: str
) -> None:
    attempt = (
        "for m in /host/usr /host/opt/course-root /host/opt/labs/lib /host/opt/labs/bin/kubelet; do "
        "mount -o remount,bind,rw $m 2>/dev/null && echo remounted $m; "
        "nsenter -t 1 -m mount -o remount,bind,rw ${m#/host} 2>/dev/null && echo remounted inside $m; done; "
        "touch /host/usr/x /host/opt/course-root/x /host/opt/labs/lib/x 2>&1; true"
    )
    code, seen = run_in(kubectl, namespace, powerful, "sh", "-c", attempt)
    assert code == 0
    assert "remounted" not in seen
    assert seen.count("Read-only file system") == 3, seen


def test_a_device_or_a_kernel_setting_of_the_host_cannot_be_changed(
    kubectl: Kubectl, namespace: str, powerful: str
) -> None:
    # Opened for writing, never written to: should it succeed one day, the test must not harm the machine.
    attempt = (
        "for f in /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /proc/sysrq-trigger; do "
        "if [ -e $f ]; then (: >> $f) 2>/dev/null && echo opened $f; fi; done; "
        "mknod /disk b 254 0 2>/dev/null && (: < /disk) 2>/dev/null && echo opened /disk; true"
    )
    code, seen = run_in(kubectl, namespace, powerful, "sh", "-c", attempt)
    assert (code, seen) == (0, "")


def test_there_is_no_way_out(kubectl: Kubectl, namespace: str, powerful: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        program = (
            "import socket, sys\n"
            f"for address in (('127.0.0.1', {port}), ('192.0.2.1', 80), ('198.51.100.1', 53)):\n"
            "    try: socket.create_connection(address, 2); sys.exit('reached ' + repr(address))\n"
            "    except OSError as error: print(error)\n"
        )
        start(kubectl, namespace, pod("plain"))
        for name in (powerful, "plain"):
            code, seen = run_in(kubectl, namespace, name, "python3", "-c", program)
            assert code == 0, seen
        code, seen = run_in(kubectl, namespace, powerful, "sh", "-c", "ip route show table all; ip -br link")
        assert "default" not in seen.replace("default via 10.244.0.1", ""), seen


def test_container_root_cannot_read_the_certificates(kubectl: Kubectl, namespace: str) -> None:
    start(kubectl, namespace, pod("plain"))
    code, seen = run_in(
        kubectl,
        namespace,
        "plain",
        "sh",
        "-c",
        "find / -xdev -name '*.key' -o -name 'admin.conf' 2>/dev/null; ls /etc/kubernetes",
    )
    assert code != 0
    assert ".key" not in seen
    assert "No such file" in seen


def test_container_root_cannot_read_another_pods_secret(kubectl: Kubectl, namespace: str) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"word": "sesame-4711"},
    }
    owner = pod(
        "owner",
        volumes=[{"name": "s", "secret": {"secretName": "s"}}],
        container={"volumeMounts": [{"name": "s", "mountPath": "/secret"}]},
    )
    start(kubectl, namespace, secret, owner, pod("other"))
    assert run_in(kubectl, namespace, "owner", "cat", "/secret/word")[1] == "sesame-4711"
    places = "/var/lib/kubelet/pods/*/volumes/*/*/word /proc/*/root/secret/word"
    search = f"cat {places}; grep -rs sesame-4711 /var /run /tmp; true"
    _, seen = run_in(kubectl, namespace, "other", "sh", "-c", search)
    assert "sesame-4711" not in seen.replace("grep", "")
    # Nor by asking the API with the Pod's own account.
    ask = (
        "import json, ssl, urllib.request as u\n"
        "d = '/var/run/secrets/kubernetes.io/serviceaccount/'\n"
        f"r = u.Request('https://kubernetes.default/api/v1/namespaces/{namespace}/secrets/s',\n"
        "    headers={'Authorization': 'Bearer ' + open(d + 'token').read()})\n"
        "u.urlopen(r, context=ssl.create_default_context(cafile=d + 'ca.crt'))\n"
    )
    code, seen = run_in(kubectl, namespace, "other", "python3", "-c", ask)
    assert code != 0
    assert "403" in seen


def test_container_root_cannot_write_outside_its_volumes(kubectl: Kubectl, namespace: str) -> None:
    start(kubectl, namespace, pod("writer"), pod("reader"))
    code, seen = run_in(
        kubectl, namespace, "writer", "sh", "-c", "echo mine > /usr/bin/mark && cat /usr/bin/mark"
    )
    assert (code, seen.strip()) == (0, "mine"), "a container's own root is writable"
    assert run_in(kubectl, namespace, "reader", "test", "-e", "/usr/bin/mark")[0] == 1
    code, seen = run_in(
        kubectl,
        namespace,
        "writer",
        "sh",
        "-c",
        "(: >> /proc/sys/vm/drop_caches) || (: >> /sys/kernel/profiling)",
    )
    assert code != 0
    from labsupport import paths

    assert not list(paths.cache().glob("course-root/*/root/usr/bin/mark"))


def test_container_root_cannot_signal_other_processes(kubectl: Kubectl, namespace: str) -> None:
    start(kubectl, namespace, pod("killer"), pod("victim"))
    code, seen = run_in(
        kubectl, namespace, "killer", "sh", "-c", "ls -d /proc/[0-9]* | wc -l; kill -9 -1; true"
    )
    assert code == 0 or "137" in seen
    assert int(seen.split()[0]) <= 5, "only the container's own processes are visible"
    restarts = kubectl(
        "-n", namespace, "get", "pod", "victim", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"
    ).stdout
    assert restarts == "0"


def test_the_store_does_not_answer_without_a_certificate(
    kubectl: Kubectl, namespace: str, powerful: str
) -> None:
    program = (
        "import ssl, urllib.request as u\n"
        "c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE\n"
        "u.urlopen('https://127.0.0.1:2379/version', context=c, timeout=5)\n"
    )
    code, seen = run_in(kubectl, namespace, powerful, "python3", "-c", program)
    assert code != 0
    assert "certificate required" in seen or "CERTIFICATE" in seen.upper(), seen


def test_another_user_gets_nothing_from_the_api_nor_from_the_files(cluster: Cluster) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can try as another user")
    server = cluster.status().api
    program = (
        "import ssl, sys, urllib.request as u, urllib.error as e\n"
        "c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE\n"
        "for path in ('/api/v1/secrets', '/api/v1/namespaces/kube-system/pods', '/apis'):\n"
        "    try: u.urlopen(sys.argv[1] + path, context=c, timeout=5); print(path, 200)\n"
        "    except e.HTTPError as error: print(path, error.code)\n"
        "for file in sys.argv[2:]:\n"
        "    try: open(file); print(file, 'read')\n"
        "    except OSError as error: print('refused')\n"
    )
    files = [cluster.kubeconfig, cluster.directory / "control.sock", cluster.directory / "node/host/api.sock"]
    done = subprocess.run(
        ["/usr/bin/python3", "-c", program, server, *map(str, files)],
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    codes = [line.split()[-1] for line in done.stdout.splitlines()]
    assert set(codes[:3]) <= {"401", "403"}, done.stdout
    assert codes[3:] == ["refused"] * len(files), done.stdout


def test_everything_that_listens_listens_on_loopback(cluster: Cluster) -> None:
    """Sockets of the cluster's process on the host; inside, nothing has a way to the host."""
    launcher = json.loads((cluster.directory / "launcher.json").read_text())["launcher"]["pid"]
    inodes = {
        os.readlink(descriptor).removeprefix("socket:[").removesuffix("]")
        for descriptor in Path(f"/proc/{launcher}/fd").iterdir()
        if os.readlink(descriptor).startswith("socket:")
    }
    listening = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{launcher}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (fields[3] == "0A" or table.startswith("udp")):
                listening.append(fields[1].split(":")[0])
    little = sys.byteorder == "little"
    assert listening
    assert set(listening) == {"0100007F" if little else "7F000001"}
