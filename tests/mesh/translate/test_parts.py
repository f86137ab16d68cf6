"""What a change touches: translating just that anew gives exactly what translating everything anew gives."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from labsupport.mesh import changes
from labsupport.mesh.api import Name, Reference
from labsupport.mesh.model import Index
from labsupport.mesh.translate import parts
from labsupport.mesh.translate.parts import Part
from labsupport.mesh.translate.resource import Key, Resource
from tests.mesh import samples
from tests.mesh.changing import CONNECTED, Event, events, world

# The same examples in each run; no deadlines, as machines may be busy.
steady = settings(max_examples=30, deadline=None, derandomize=True, database=None)
Made = dict[Part, list[Resource]]


def served(made: Made) -> dict[Key, Resource]:
    return {each.key: each for found in made.values() for each in found}


@steady
@given(st.lists(events(), min_size=1, max_size=6))
def test_what_is_affected_is_enough(told: list[Event]) -> None:
    model, made = samples.model(*world()), {}
    for part in parts.everything(model, CONNECTED):
        made[part] = parts.translate(model, part)
    for event in told:
        before, model = model, changes.applied(model, event.object, gone=event.gone)
        reference = changes.reference(event.object)
        for part in parts.affected(before, model, reference, CONNECTED):
            made[part] = parts.translate(model, part)
    anew = {part: parts.translate(model, part) for part in parts.everything(model, CONNECTED)}
    assert served(made) == served(anew)


@steady
@given(st.lists(events(), max_size=6))
def test_resources_have_keys_of_their_own(told: list[Event]) -> None:
    model = samples.model(*world())
    for event in told:
        model = changes.applied(model, event.object, gone=event.gone)
    made = {part: parts.translate(model, part) for part in parts.everything(model, CONNECTED)}
    assert len(served(made)) == sum(map(len, made.values()))


@steady
@given(st.lists(events(), max_size=6))
def test_joins_are_kept_up(told: list[Event]) -> None:
    """However the objects came and went, the model is the same as if what is left had come at once."""
    model = samples.model(*world())
    left = {changes.reference(each): each for each in world()}
    for event in told:
        reference = changes.reference(event.object)
        left.pop(reference, None)
        if not event.gone:
            left[reference] = event.object
        model = changes.applied(model, event.object, gone=event.gone)
    assert model == samples.model(*left.values())


@steady
@given(st.lists(events(), max_size=5), events())
def test_what_is_told_again_changes_nothing(told: list[Event], last: Event) -> None:
    """Watches tell of much that does not matter here, such as the heartbeats of Pods: the model stays the same one."""
    model = samples.model(*world())
    for event in [*told, last]:
        model = changes.applied(model, event.object, gone=event.gone)
    assert changes.applied(model, last.object, gone=last.gone) is model


def test_a_change_costs_what_it_touches() -> None:
    """One route among many Services is one part."""
    objects = [samples.service(f"s{i}", address=f"10.96.1.{i}") for i in range(100)]
    before = samples.model(*objects)
    route = samples.route("one", samples.to("s1"), parent="s2")
    after = changes.applied(before, route)
    touched: Any = parts.affected(before, after, Reference("HTTPRoute", "shop", "one"), set())
    assert touched == {Part(parts.ROUTES, Name("shop", "s2"))}


def test_an_index_has_no_empty_sets() -> None:
    index = Index().moved("pod", [], ["a", "a", "b"])
    assert dict(index) == {"a": {"pod"}, "b": {"pod"}}
    assert index["c"] == frozenset()
    assert dict(index.moved("pod", ["a", "b"], ["b"])) == {"b": {"pod"}}
    assert index.moved("pod", ["a", "b"], ["b", "a"]) is index
