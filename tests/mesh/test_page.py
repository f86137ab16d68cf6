"""The topology's page as it is served, by the control plane and on a person's loopback."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from labsupport.errors import LabsError
from labsupport.mesh import page
from labsupport.mesh.admin.forward import Forward

SAID = {
    "seconds": 60,
    "nodes": [],
    "edges": [{"from": "shop/web", "to": "shop/cart", "requests": 6, "rate": 0.1}],
}


def fetch(path: str) -> bytes:
    if "find=broken" in path:
        raise LabsError("No control plane of the mesh is ready on this cluster.")
    found = page.answer(path, lambda seconds: {**SAID, "seconds": seconds})
    assert found is not None
    return found


@pytest.fixture
def forward() -> Iterator[Forward]:
    made = Forward(fetch)
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def get(forward: Forward, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    asked = urllib.request.Request(f"http://127.0.0.1:{forward.server_port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def test_what_the_control_plane_answers() -> None:
    view = page.answer("/view?seconds=10", lambda seconds: {**SAID, "seconds": seconds})
    assert view is not None
    assert b"Over the last 10 s: 2 nodes, 1 edge" in view
    assert page.answer("/proxies", lambda seconds: SAID) is None


def test_the_page_needs_nothing_from_elsewhere() -> None:
    document = page.document().decode()
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", document)
    assert "http://" not in document
    assert "https://" not in document
    assert "url(" not in document


def test_no_script_but_its_own_may_run() -> None:
    document = page.document()
    policy = page.headers(document)["Content-Security-Policy"]
    script = document.partition(b"<script>")[2].partition(b"</script>")[0]
    assert script
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_on_loopback_what_the_mesh_says_needs_the_token(forward: Forward) -> None:
    assert forward.url.startswith("http://127.0.0.1:")
    token = forward.url.partition("#token=")[2]
    assert len(token) >= 32
    status, body, headers = get(forward, "/")
    assert (status, "Mesh topology" in body) == (200, True)
    assert "script-src 'sha256-" in headers["Content-Security-Policy"]
    for wrong in (
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": token},
        {"Authorization": "Bearer \u00e9"},
    ):
        status, body, _ = get(forward, "/view?seconds=60", **wrong)
        assert (status, "shop" in body) == (401, False)
    status, body, _ = get(forward, "/view?seconds=60", Authorization=f"Bearer {token}")
    assert (status, "shop/cart" in body) == (200, True)
    for path in ("/proxies", "/topology?seconds=60", "/view", "/tap?"):
        assert get(forward, path, Authorization=f"Bearer {token}")[0] == 404


def test_another_name_for_loopback_is_no_way_in(forward: Forward) -> None:
    assert get(forward, "/", Host=f"evil.example:{forward.server_port}")[0] == 403
    assert get(forward, "/", Host=f"localhost:{forward.server_port}")[0] == 200


def test_a_control_plane_that_is_away_is_told(forward: Forward) -> None:
    status, body, _ = get(forward, "/view?find=broken", Authorization=f"Bearer {forward.token}")
    assert (status, body) == (502, "No control plane of the mesh is ready on this cluster.")
