"""What a host needs to be called by the API server; the parts that need no cluster."""

from __future__ import annotations

import base64
from datetime import timedelta

from labsupport.course import serving
from labsupport.course.certificates import Authority
from labsupport.course.deploy import HOSTS


def test_a_manifest_says_itself_whether_it_needs_a_certificate() -> None:
    assert serving.needed((HOSTS / "conversion.yaml").read_text())
    assert not serving.needed((HOSTS / "responder.yaml").read_text())


def test_the_placeholders_are_filled_in_and_other_braces_stay() -> None:
    who = serving.Identity("C", "K", "A")
    assert who.fill("{certificate} {key} {authority} {name}") == "C K A {name}"


def test_a_certificate_is_kept_as_long_as_it_holds_long_enough() -> None:
    def issued(days: int) -> str:
        authority = Authority("test", lasts=timedelta(days=400))
        certificate = authority.issue("a.b.svc", until=timedelta(days=days)).certificate
        return base64.b64encode(certificate.encode()).decode()

    assert serving._holds(issued(30))
    assert not serving._holds(issued(1))
    assert not serving._holds("bm8gY2VydGlmaWNhdGU=")


def test_a_part_is_told_by_its_annotation_and_applied_without_it() -> None:
    part = {"metadata": {"name": "a", "annotations": {serving.PART: "x"}}, "spec": {"conversion": {}}}
    assert serving.is_part(part)
    assert not serving.is_part({"metadata": {"name": "a"}})
    assert serving._bare(part) == {"metadata": {"name": "a"}, "spec": {"conversion": {}}}
