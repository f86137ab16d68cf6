from __future__ import annotations

from labsupport.course.lessons.customresource import Custom, properties, refusal, told
from labsupport.kube import Answer


def test_paths_of_a_collection_an_object_and_a_subresource() -> None:
    custom = Custom(None, "g.example", "v1", "Site", "sites", "place")  # type: ignore[arg-type]  # nothing is sent
    assert custom.path() == "/apis/g.example/v1/namespaces/place/sites"
    assert custom.path("a", "scale") == "/apis/g.example/v1/namespaces/place/sites/a/scale"


def test_the_part_of_a_schema_that_a_kind_has_for_itself() -> None:
    published = {"properties": {"apiVersion": {}, "kind": {}, "metadata": {}, "spec": {"type": "object"}}}
    assert (
        properties(published)
        == {"spec": {"type": "object"}}
        == properties({"properties": {"spec": {"type": "object"}}})
    )


def test_a_spec_in_words() -> None:
    assert told({"release": 2, "address": "a", "probe": {"seconds": 3}, "aliases": []}) == (
        "release 2, address a, probe (seconds 3), aliases []"
    )
    assert told({}) == "nothing in it"


def test_a_refusal_is_one_line() -> None:
    assert refusal(Answer(422, {}, {"message": "two\nlines"})) == "two lines"
    assert refusal(Answer(500, {}, "")) == "HTTP status 500"
    assert len(refusal(Answer(422, {}, {"message": "long " * 100}))) < 250
