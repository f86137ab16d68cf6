"""`lab.deploy` on a cluster: the function runs there, a change replaces it at once, and what goes wrong comes back."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from labsupport import kube
from labsupport.cluster.interface import Cluster
from labsupport.course import deploy as module
from labsupport.course.context import Context
from labsupport.course.deploy import Deployed, find
from labsupport.course.manifest import Lab
from labsupport.course.probe import Probe
from labsupport.course.progress import Progress
from labsupport.course.source import run_cell
from labsupport.course.worlds.world import ensure_namespace
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LAB = Lab.model_validate({"id": "dp", "title": "D", "notebook": "dp", "minutes": 1, "exercises": []})


class Notebook:
    """A notebook with a lab of its own."""

    def __init__(self, api: ApiClient, store: Progress) -> None:
        self.names: dict[str, Any] = {}
        self.lab = Context(self.names, store).at(api, LAB)
        self.names["lab"] = self.lab
        ensure_namespace(self.lab.world)

    def deploy(self, cell: str, name: str = "hello", host: str = "responder", **settings: Any) -> Deployed:
        """Run a cell and deploy the function of that name."""
        run_cell(cell, self.names, "the answer")
        return self.lab.deploy(self.names[name], host=host, **settings)

    def ask(self, path: str = "", name: str = "hello") -> tuple[int, Any]:
        """Status and body of a GET through the API server, which learns of new endpoints a moment late."""
        place = f"/api/v1/namespaces/{self.lab.namespace}/services/{name}:80/proxy/{path}"
        deadline = time.monotonic() + 5
        while True:
            try:
                return 200, kube.request(self.lab.api, "GET", place)
            except kube.Refused as refused:
                if refused.status != 503 or time.monotonic() > deadline:
                    return refused.status, json.loads(refused.what) if refused.what.startswith(
                        "{"
                    ) else refused.what


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> ApiClient:
    return kube.connect(cluster.kubeconfig)


@pytest.fixture(scope="module")
def notebook(api: ApiClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    made = Notebook(api, Progress(tmp_path_factory.mktemp("store") / "progress.sqlite"))
    yield made
    kube.request(api, "DELETE", f"/api/v1/namespaces/{made.lab.namespace}")


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_function_answers_with_what_it_uses_in_the_notebook(notebook: Notebook) -> None:
    deployed = notebook.deploy(
        "import math\nGREETING = 'hi'\ndef shout(text):\n    return text.upper()\n"
        "def hello(path):\n    print('asked for', path)\n    return [shout(GREETING), math.floor(2.5), path]"
    )
    assert deployed, str(deployed)
    assert notebook.ask("a/b") == (200, ["HI", 2, "/a/b"])
    assert "asked for /a/b" in deployed.logs()
    assert deployed.errors() == []
    assert "runs in lab-dp" in str(deployed)
    assert "<" in deployed._repr_html_()


def test_a_change_rolls_over_quickly_and_the_old_code_answers_no_more(notebook: Notebook) -> None:
    spent = []
    for version in range(6):
        deployed = notebook.deploy(f"VERSION = {version}\ndef hello(path):\n    return VERSION")
        assert deployed, str(deployed)
        spent.append(deployed.seconds)
        assert {notebook.ask()[1] for _ in range(10)} == {version}
    assert statistics.median(spent[1:]) < 3, spent
    maps = kube.list_objects(
        notebook.lab.api, "v1", "ConfigMap", notebook.lab.namespace, labels=module.DEPLOYED
    )
    assert len(maps) == 1  # those of earlier versions are gone
    again = notebook.lab.deploy(notebook.names["hello"], host="responder")
    assert again.digest == deployed.digest
    assert again.seconds < 1  # nothing has changed, so nothing is replaced


def test_exceptions_come_back_with_the_learners_line_and_the_input(notebook: Notebook) -> None:
    deployed = notebook.deploy("TABLE = {'/good': 1}\n\ndef hello(path):\n    return TABLE[path]")
    assert notebook.ask("good") == (200, 1)
    assert notebook.ask("bad") == (500, {"error": "KeyError: '/bad'"})
    until(lambda: bool(deployed.errors()))  # a line that a container writes comes to its log a moment later
    (failure,) = deployed.errors()
    assert (failure.kind, failure.line, failure.text, failure.input) == (
        "KeyError",
        4,
        "return TABLE[path]",
        "GET /bad",
    )
    assert "KeyError: '/bad', line 4 of the answer: `return TABLE[path]`, for GET /bad" in str(deployed)
    assert "KeyError" in deployed._repr_html_()
    assert "Traceback" not in deployed.logs()
    seen = Probe(notebook.lab.world).deployed("hello")
    assert seen
    assert seen.errors() == [failure]


def test_a_call_that_hangs_is_told_with_its_line(notebook: Notebook) -> None:
    deployed = notebook.deploy(
        "import time\ndef hello(path):\n    while path == '/hang':\n        time.sleep(1)\n    return 1"
    )
    place = f"/api/v1/namespaces/{notebook.lab.namespace}/services/hello:80/proxy/hang"
    with pytest.raises(kube.Unreachable):
        kube.request(notebook.lab.api, "GET", place, timeout=0.5)
    until(lambda: bool(deployed.errors()))
    (failure,) = deployed.errors()
    assert (failure.kind, failure.text) == ("Endless", "time.sleep(1)")
    assert notebook.ask() == (200, 1)  # one call that hangs holds up no other


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("import pytest\ndef hello(path):\n    return pytest", "No module named 'pytest'"),
        (
            f"from pathlib import Path\nclass Here:\n    if not Path({__file__!r}).exists():\n"
            "        raise ValueError('not here')\ndef hello(path):\n    return Here",
            "ValueError: not here, line 4 of the answer: `raise ValueError('not here')`",
        ),
        ("def hello(path):\n    return lab.namespace", "`lab`, which `hello` uses, is a Context"),
    ],
)
def test_cells_that_cannot_run_there_are_told_at_once(notebook: Notebook, cell: str, said: str) -> None:
    started = time.monotonic()
    deployed = notebook.deploy(cell)
    assert time.monotonic() - started < 15
    assert not deployed
    assert said in str(deployed)
    assert "Traceback" not in str(deployed)
    # A repaired function takes its place.
    assert notebook.deploy("def hello(path):\n    return 'well'")
    assert notebook.ask() == (200, "well")


def test_refusals_of_the_api_come_back_in_the_servers_own_words(notebook: Notebook) -> None:
    token = kube.request(
        notebook.lab.api,
        "POST",
        f"/api/v1/namespaces/{notebook.lab.namespace}/serviceaccounts/default/token",
        body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )["status"]["token"]
    deployed = notebook.deploy(
        f"TOKEN = {token!r}\nfrom kubernetes import client\ndef hello(path):\n"
        "    set_up = client.Configuration(host='https://kubernetes.default.svc')\n"
        "    set_up.verify_ssl = False\n"
        "    api = client.CoreV1Api(client.ApiClient(set_up, 'authorization', 'Bearer ' + TOKEN))\n"
        "    return len(api.list_namespaced_secret('default').items)"
    )
    notebook.ask()
    until(lambda: bool(deployed.errors()))
    (failure,) = deployed.errors()
    assert failure.message.startswith("403 secrets is forbidden: User")
    assert failure.line == 7


def test_what_the_api_does_not_store_is_told(notebook: Notebook) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"count/configmaps": "0"}},
    }
    kube.apply(notebook.lab.api, [quota], namespace=notebook.lab.namespace)
    try:
        until(lambda: "exceeded quota" in str(notebook.deploy(f"def hello(path):\n    return {time.time()}")))
    finally:
        kube.delete(notebook.lab.api, [quota], namespace=notebook.lab.namespace)


def test_a_deployment_can_be_found_and_stopped(notebook: Notebook) -> None:
    assert notebook.deploy("def hello(path):\n    return 1")
    found = find(notebook.lab.world, "hello")
    assert found
    assert found.host == "responder"
    assert find(notebook.lab.world, "other") is None
    assert "Deployment hello" in str(found.stop())
    assert find(notebook.lab.world, "hello") is None
    for api_version, kind in (("v1", "Service"), ("v1", "ServiceAccount"), ("v1", "ConfigMap")):
        left = kube.list_objects(
            notebook.lab.api, api_version, kind, notebook.lab.namespace, labels=module.DEPLOYED
        )
        assert left == []


def test_all_of_it_carries_the_labels_by_which_a_start_removes_it(notebook: Notebook) -> None:
    notebook.deploy("def hello(path):\n    return 1")
    labels = f"labs.example/part-of=course,labs.example/lab=dp,{module.DEPLOYED}=hello"
    for api_version, kind in (
        ("apps/v1", "Deployment"),
        ("v1", "Service"),
        ("v1", "ServiceAccount"),
        ("v1", "ConfigMap"),
        ("v1", "Pod"),
    ):
        found = kube.list_objects(notebook.lab.api, api_version, kind, notebook.lab.namespace, labels=labels)
        assert len(found) == 1, kind


def test_a_host_that_does_not_exist_is_named(notebook: Notebook) -> None:
    with pytest.raises(LabsError, match="no host"):
        notebook.deploy("def hello(path):\n    return 1", host="nonesuch")


# --- scratch namespaces


def test_a_checks_own_namespace_goes_when_it_ends_whatever_happens(notebook: Notebook) -> None:
    names = []

    def check() -> None:
        with Probe(notebook.lab.world).scratch() as name:
            names.append(name)
            thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}}
            kube.apply(notebook.lab.api, [thing], namespace=name)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check()
    target = kube.Target("v1", "Namespace", names[0])
    kube.until(notebook.lab.api, target, kube.wait.gone, timeout=30)
