from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from labsupport import kube
from labsupport.course.worlds import namespaces
from labsupport.course.worlds.namespaces import ENDED, SYSTEM, Endings
from labsupport.kube.objects import Object

NOW = 1_700_000_000.0


class Server:
    """Namespaces, and what was asked of them; one that is deleted goes once it is finalised or its controller comes."""

    def __init__(self) -> None:
        self.clock = NOW
        self.places: dict[str, Object] = {}
        self.finalized: list[str] = []
        self.controlled: list[str] = []
        self.read_only = False
        self.make(SYSTEM)

    def moment(self) -> str:
        return datetime.fromtimestamp(self.clock, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    def make(self, name: str) -> None:
        self.places[name] = {
            "metadata": {"name": name, "creationTimestamp": self.moment(), "annotations": {}}
        }

    def get(self, api: object, version: str, kind: str, name: str) -> Object | None:
        return self.places.get(name)

    def request(self, api: object, method: str, path: str, body: Any = None, content_type: str = "") -> Any:
        name, _, rest = path.removeprefix("/api/v1/namespaces/").partition("/")
        if rest == "events":
            return {}
        if name not in self.places:
            raise kube.Refused(404, "NotFound", name)
        place = self.places[name]
        if method == "DELETE":
            place["metadata"]["deletionTimestamp"] = self.moment()
        elif method == "PATCH":
            if name == SYSTEM and self.read_only:
                raise kube.Refused(403, "Forbidden", name)
            for key, value in body["metadata"].get("annotations", {}).items():
                place["metadata"]["annotations"].pop(key, None)
                if value is not None:
                    place["metadata"]["annotations"][key] = value
        elif rest == "finalize":
            self.finalized.append(name)
            del self.places[name]
        return place

    def patch(self, api: object, path: str, change: Any) -> Any:
        return self.request(api, "PATCH", path, change)

    def until(
        self, api: object, target: kube.Target, *args: Any, timeout: float, progress: Any = None
    ) -> None:
        """Only the controller ends what is still there."""
        if self.places.pop(target.name, None):
            self.controlled.append(target.name)
            self.clock += 5.0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(kube, "get", made.get)
    monkeypatch.setattr(kube, "request", made.request)
    monkeypatch.setattr(kube, "patch", made.patch)
    monkeypatch.setattr(kube, "until", made.until)
    monkeypatch.setattr(namespaces.time, "time", lambda: made.clock)
    monkeypatch.setattr(namespaces.time, "monotonic", lambda: made.clock)
    return made


def endings() -> Endings:
    return Endings(cast("Any", None), lambda text: None, lambda what, finalizers: None)


def end(server: Server, name: str, begun: float = 0.5) -> None:
    removal = endings()
    removal.delete(name)
    server.clock += begun
    removal.prepare([name])
    removal.release(name, server.clock + 45)


def test_an_empty_namespace_is_released_before_its_controller_begins(server: Server) -> None:
    server.make("lab-w1")
    end(server, "lab-w1")
    assert (server.finalized, server.controlled) == (["lab-w1"], [])


def test_where_the_deletion_was_a_while_ago_the_controller_ends_it(server: Server) -> None:
    server.make("lab-w1")
    end(server, "lab-w1", begun=4.5)
    assert (server.finalized, server.controlled) == ([], ["lab-w1"])


def test_where_somebody_else_deleted_it_the_controller_ends_it(server: Server) -> None:
    server.make("lab-w1")
    server.request(None, "DELETE", "/api/v1/namespaces/lab-w1")
    removal = endings()
    removal.prepare(["lab-w1"])
    removal.release("lab-w1", server.clock + 45)
    assert (server.finalized, server.controlled) == ([], ["lab-w1"])


@pytest.mark.parametrize(("pause", "controlled"), [(0.0, True), (4.0, True), (8.0, False)])
def test_the_second_end_of_a_name_within_seconds_is_the_controllers(
    pause: float, controlled: bool, server: Server
) -> None:
    """It counts its 5 s by name, so it may come in the middle of the second end."""
    for _ in range(2):
        server.make("lab-w1")
        server.clock += pause
        end(server, "lab-w1")
    assert server.controlled == ["lab-w1"] * controlled


def test_after_the_controller_the_next_end_is_its_own_too(server: Server) -> None:
    """It changed the namespace when it ended it, and comes once more 5 s later."""
    server.make("lab-w1")
    end(server, "lab-w1", begun=4.5)
    server.make("lab-w1")
    server.clock += 2.0
    end(server, "lab-w1")
    assert server.controlled == ["lab-w1"] * 2


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(("life", "controlled"), [(3.0, True), (9.0, False)])
def test_where_nothing_can_be_written_down_a_short_life_decides(
    life: float, controlled: bool, there: bool, server: Server
) -> None:
    """Because it is not permitted, or because there is no place for it."""
    server.read_only = True
    if not there:
        del server.places[SYSTEM]
    server.make("lab-w1")
    server.clock += life
    end(server, "lab-w1")
    assert server.controlled == ["lab-w1"] * controlled


def test_old_ends_are_forgotten(server: Server) -> None:
    def known() -> Iterable[str]:
        return sorted(server.places[SYSTEM]["metadata"]["annotations"])

    server.make("lab-w1")
    end(server, "lab-w1")
    assert known() == [f"{ENDED}lab-w1"]
    server.clock += 100
    server.make("lab-w2")
    end(server, "lab-w2")
    assert known() == [f"{ENDED}lab-w2"]
