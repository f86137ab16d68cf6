"""What RBAC and admission let the operator do is what its code does, and a member's share is out of its reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from labsupport.operators.quorum_operator import kinds, objects, parse
from tests.operators.quorum.fakes import FakeApi
from tests.operators.quorum.test_simulation import STORIES
from tests.operators.quorum.world import World

MANIFESTS = Path(__file__).parents[3] / "clusters/manifests/quorum"
Right = tuple[str, str, str]

# What kopf does by itself, for each kind that a handler is for: list and watch; its finalizer where it keeps a task.
WATCHED = {
    ("quorum.labs.example", "quorums"),
    ("quorum.labs.example", "quorumbackups"),
    ("quorum.labs.example", "quorumrestores"),
    ("", "pods"),
    ("certificates.k8s.io", "certificatesigningrequests"),
}
KOPF = {(*each, verb) for each in WATCHED for verb in ("list", "watch")} | {
    (group, plural, "patch") for group, plural in WATCHED if group == "quorum.labs.example"
}
# Calls outside of a round: signer.py, copies.py, events.py, handlers.py, act.py for a schedule that is dropped.
BESIDES: set[Right] = {
    ("certificates.k8s.io", "certificatesigningrequests", "get"),
    ("certificates.k8s.io", "certificatesigningrequests/approval", "update"),
    ("certificates.k8s.io", "certificatesigningrequests/status", "update"),
    ("certificates.k8s.io", "signers", "approve"),
    ("certificates.k8s.io", "signers", "sign"),
    ("rbac.authorization.k8s.io", "clusterroles", "bind"),
    ("", "events", "create"),
    ("", "pods", "get"),
    ("batch", "jobs", "get"),
    ("batch", "jobs", "create"),
    ("quorum.labs.example", "quorumbackups/status", "patch"),
    ("quorum.labs.example", "quorumrestores", "get"),
    ("quorum.labs.example", "quorumrestores/status", "patch"),
}
OWN: set[Right] = {
    ("", "secrets", "get"),
    ("coordination.k8s.io", "leases", "get"),
    ("coordination.k8s.io", "leases", "update"),
    ("coordination.k8s.io", "leases", "create"),
}


def documents() -> list[dict[str, Any]]:
    return [
        each for file in sorted(MANIFESTS.glob("*.yaml")) for each in yaml.safe_load_all(file.read_text())
    ]


def role(kind: str, name: str = "quorum-operator") -> list[dict[str, Any]]:
    (found,) = [each for each in documents() if each["kind"] == kind and each["metadata"]["name"] == name]
    return list(found["rules"])


def rights(rules: list[dict[str, Any]]) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used() -> set[Right]:
    """What rounds use: every story, an upgrade with a back-up, a schedule that comes and goes, a deletion."""
    seen: set[Right] = set()
    worlds = [make() for make, _, _ in STORIES.values()]
    for world in worlds:
        world.settle()
    last: World = worlds[0]
    last.edit(backup={"claimName": "archive", "schedule": "0 3 * * *"})
    last.settle()
    last.edit(backup={"claimName": "archive"}, release="1.1", upgrade={"backup": "Required"})
    for _ in range(10):
        last.tick()
        last.round()
    last.object["metadata"]["deletionTimestamp"] = "now"
    last.hurt |= {"q-0", "q-1", "q-2"}
    last.settle(60)
    for world in worlds:
        seen |= world.api.used
    return seen


def test_the_operator_has_the_rights_that_it_uses_and_no_others() -> None:
    granted, needed = rights(role("ClusterRole")), used() | KOPF | BESIDES
    assert needed - granted == set(), "used and not granted"
    assert granted - needed == set(), "granted and not used"
    assert rights(role("Role")) == OWN


def test_nothing_that_it_may_do_reads_a_share() -> None:
    rules = role("ClusterRole") + role("Role")
    for group, resource, verb in rights(rules):
        assert "*" not in (group, resource, verb)
        # Ways into a running container, or to what it writes; and the ways around RBAC.
        assert "/" not in resource or resource.partition("/")[2] in ("status", "approval"), resource
        assert (resource, verb) != ("nodes", "get")
        assert verb not in ("impersonate", "escalate", "deletecollection")
    secrets = [rule for rule in rules if "secrets" in rule["resources"] and {*rule["verbs"]} - {"create"}]
    assert [rule["resourceNames"] for rule in secrets] == [["quorum-ca"]]
    bound = [rule for rule in rules if "bind" in rule["verbs"]]
    assert [rule["resourceNames"] for rule in bound] == [["quorum-member"]]
    assert rights(role("ClusterRole", "quorum-member")) == {
        ("certificates.k8s.io", "certificatesigningrequests", verb)
        for verb in ("create", "get", "list", "watch")
    }


def test_admission_confines_all_workloads_that_it_may_create() -> None:
    created = {
        (group, plural) for group, plural, verb in rights(role("ClusterRole")) if verb in ("create", "patch")
    }
    workloads = {each for each in created if each[0] in ("apps", "batch")}
    (policy,) = [each for each in documents() if each["metadata"]["name"] == "quorum-operator-workloads"][:1]
    ruled = {
        (group, resource)
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert workloads == ruled
    assert ("", "pods") not in created


def test_no_job_of_its_own_has_a_members_volume() -> None:
    found = {
        "metadata": {"name": "q", "namespace": "lab", "uid": "u", "generation": 1},
        "spec": {"size": 3, "release": "1.0", "backup": {"claimName": "archive", "schedule": "0 3 * * *"}},
    }
    for each in objects.children(parse.quorum(found), "CA", 3, "1.0"):
        assert not [name for name in claims(each) if name.startswith("data-")]


def claims(content: Any) -> list[str]:
    """Every claimName in an object."""
    if isinstance(content, dict):
        own = [content["claimName"]] if "claimName" in content else []
        return own + [name for each in content.values() for name in claims(each)]
    return [name for each in content for name in claims(each)] if isinstance(content, list) else []


@pytest.mark.parametrize("call", sorted(kinds.VERBS))
def test_each_call_of_the_api_says_its_verbs(call: str) -> None:
    assert hasattr(FakeApi, call)
