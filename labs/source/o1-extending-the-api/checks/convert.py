"""o1-convert: the learner's conversion, on generated Sites first and then by way of the API server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons.customresource import refusal, told

from .sites import DEFINITION, Object, sites

OLD, NEW = "check.labs.example/v1alpha1", "check.labs.example/v1"
EXAMPLES = 60  # generated objects for each direction
HOSTS = ("a.labs.example", "shop-2.labs.example", "x", "www.a-b.labs.example")


def convert_offline(probe: Probe) -> Outcome:
    """o1-convert without a cluster: generated Sites of both versions, there and back."""
    with probe.function("convert", parameters=2) as call:
        _each(_old_sites(), lambda site: _old_there_and_back(call, site))
        _each(_new_sites(), lambda site: _new_there_and_back(call, site))
    return passed(
        f"{2 * EXAMPLES} generated Sites came back from the other version as they were, with what was changed there.",
        "convert(convert(site, other), own) on generated Sites",
    )


def _each(strategy: Any, judge: Callable[[Object], None]) -> None:
    """Judge generated objects, the same at each run; the smallest that fails is the one that is told of.

    What cannot be tried often (an endless loop) ends the search at once.
    """
    from hypothesis import HealthCheck, Phase, given, settings

    final: list[Rejected] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def every(site: Object) -> None:
        if final:
            return
        try:
            judge(site)
        except Rejected as rejected:
            if rejected.outcome.diagnostic in ("endless", "unportable"):
                final.append(rejected)
                return
            raise

    every()
    if final:
        raise final[0]


def _metadata() -> Any:
    from hypothesis import strategies as st

    return st.fixed_dictionaries(
        {"name": st.sampled_from(["one", "two"]), "namespace": st.just("unseen"), "uid": st.just("5d9c")},
        optional={
            "labels": st.just({"team": "blue"}),
            "annotations": st.just({"labs.example/note": "keep me"}),
            "generation": st.integers(1, 9),
        },
    )


def _site(version: str, more: Mapping[str, Any]) -> Any:
    """Sites with the fields that both versions have, and `more` of their own."""
    from hypothesis import strategies as st

    probes = st.fixed_dictionaries(
        {"path": st.sampled_from(["/healthz", "/up"]), "seconds": st.integers(1, 60)}
    )
    spec = st.fixed_dictionaries(
        {"release": st.integers(1, 99), "replicas": st.integers(0, 5)}, optional={"probe": probes, **more}
    )
    return st.fixed_dictionaries(
        {"apiVersion": st.just(version), "kind": st.just("Site"), "metadata": _metadata(), "spec": spec},
        optional={
            "status": st.fixed_dictionaries({"replicas": st.integers(0, 5), "selector": st.just("site=x")})
        },
    )


def _old_sites() -> Any:
    from hypothesis import strategies as st

    ports = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
    return _site(OLD, {"address": st.builds("{}{}".format, st.sampled_from(HOSTS), ports)})


def _new_sites() -> Any:
    from hypothesis import strategies as st

    listen = st.fixed_dictionaries(
        {"host": st.sampled_from(HOSTS)},
        optional={
            "port": st.integers(1, 65535),
            "aliases": st.lists(st.sampled_from(HOSTS), max_size=3, unique=True),
        },
    )
    return _site(NEW, {"listen": listen})


def _old_there_and_back(call: Any, site: Object) -> None:
    new = _converted(call, site, NEW)
    host, colon, port = site["spec"].get("address", "").partition(":")
    wanted = ({"host": host, "port": int(port)} if colon else {"host": host}) if host else None
    _moved(site, new, "listen", wanted, gone="address")
    _same(site, _converted(call, new, OLD), "old-lost")


def _new_there_and_back(call: Any, site: Object) -> None:
    old = _converted(call, site, OLD)
    listen = site["spec"].get("listen")
    port = f":{listen['port']}" if listen and "port" in listen else ""
    _moved(site, old, "address", listen["host"] + port if listen else None, gone="listen")
    _same(site, _converted(call, old, NEW), "new-lost")
    change = {"release": 101, "replicas": 3, "probe": {"path": "/changed", "seconds": 7}}
    edited = {**old, "spec": {**old["spec"], **change}}
    back = _converted(call, edited, NEW)
    wanted = {**site["spec"], **change}
    if back["spec"] != wanted:
        _reject(
            "edit-lost",
            f"A v1 Site with {told(site['spec'])} was read as v1alpha1, changed there to {told(change)}, and as v1 it "
            f"is {told(back['spec'])}.",
            "What was parked at the first conversion is older than what the second one finds. Which of them counts?",
        )


def _converted(call: Any, site: Object, wanted: str) -> Object:
    """What the learner's function returns, if it is an object of the wanted version with its metadata."""
    version = "v1" if wanted == NEW else "v1alpha1"
    found = call(site, wanted, about=f"a Site with {told(site['spec'])} that is wanted as {version}")
    if not isinstance(found, dict) or not isinstance(found.get("spec"), dict):
        _reject(
            "no-object",
            f"For a Site with {told(site['spec'])} the function returned {str(found)[:80]!r}, which is no Site.",
            "It is to return the whole object: apiVersion, kind, metadata, spec, and status where there was one.",
        )
    if found.get("apiVersion") != wanted:
        _reject(
            "api-version",
            f"Wanted was {wanted}, and the returned object says it is {found.get('apiVersion')}.",
            "Each object carries the version that it is in.",
        )
    before, after = _bare(site), _bare(found)
    if before != after:
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        _reject(
            "metadata",
            f"Besides the spec, the conversion changed {' and '.join(changed)}.",
            "The server refuses a conversion that touches metadata other than labels and annotations, and a client "
            "notices the rest.",
        )
    return found


def _bare(site: Object) -> Object:
    """All of a Site that no conversion may change."""
    metadata = site.get("metadata") if isinstance(site.get("metadata"), dict) else {}
    return {
        "kind": site.get("kind"),
        "status": site.get("status"),
        **{f"metadata.{key}": value for key, value in metadata.items() if key != "annotations"},
    }


def _moved(site: Object, found: Object, field: str, wanted: Any, gone: str) -> None:
    """Whether the part that differs between the versions is where the other version has it."""
    spec = found["spec"]
    if gone in spec or (field in spec) != (wanted is not None):
        _reject(
            "not-moved",
            f"A Site with {told(site['spec'])} became one with {told(spec)}.",
            f"Compare with the table: what one version calls {gone} the other calls {field}.",
        )
    if wanted is not None and spec[field] != wanted:
        shown = told({field: spec[field]})
        _reject(
            "moved-wrong",
            f"A Site with {told(site['spec'])} became one with {shown} "
            f"({', '.join(type(value).__name__ for value in _parts(spec[field]))}).",
            "Compare with the table, the types too: which parts does it have, and which of them may be absent?",
        )
    rest = {key: value for key, value in site["spec"].items() if key != gone}
    if {key: value for key, value in spec.items() if key != field} != rest:
        _reject(
            "rest-changed",
            f"A Site with {told(site['spec'])} became one with {told(spec)}.",
            "Everything that both versions have is the same in both.",
        )


def _parts(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else [value]


def _same(site: Object, back: Object, diagnostic: str) -> None:
    if back != site:
        parts = [
            f"{part}: before ({told(site.get(part) or {})}), after ({told(back.get(part) or {})})"
            for part in ("spec", "metadata")
            if site.get(part) != back.get(part)
        ]
        _reject(
            diagnostic,
            f"A Site of version {site['apiVersion'].rpartition('/')[2]} went to the other version and back, and is "
            f"another now. {'; '.join(parts)}",
            "What has no field on the way must travel elsewhere, and be put back without a trace. "
            "An empty list is not the same as no list.",
        )


def _reject(diagnostic: str, seen: str, look: str) -> None:
    raise Rejected(not_yet(f"o1-convert/{diagnostic}", seen, "convert, called on generated Sites", look))


def convert_live(probe: Probe) -> Outcome:
    """o1-convert on the cluster: Sites of our own, written in one version and read in the other."""
    served = sites(probe, "o1-convert", "v1alpha1"), sites(probe, "o1-convert", "v1")
    definition = served[1].definition() or {}
    strategy = (definition["spec"].get("conversion") or {}).get("strategy")
    if probe.deployed("convert") is None or strategy != "Webhook":
        return not_yet(
            "not-deployed",
            f"The function is right, but the API server does not ask it: the strategy of the definition is {strategy}.",
            f"{DEFINITION}, spec.conversion",
            "Run the cell with `lab.deploy` below the function.",
        )
    with probe.scratch() as namespace:
        old, new = (replace(each, namespace=namespace) for each in served)
        listen = {"host": "live.labs.example", "port": 8443, "aliases": ["www.live.labs.example"]}
        _answered(
            new.create("young", {"release": 3, "replicas": 2, "listen": listen}, dry=False),
            "a v1 Site was written",
        )
        _answered(
            old.create("aged", {"release": 3, "replicas": 2, "address": "aged.labs.example"}, dry=False),
            "a v1alpha1 Site was written",
        )
        young = _answered(old.read("young"), "a v1 Site was read as v1alpha1")
        _answered(old.patch("young", {"spec": {"replicas": 4}}, dry=False), "it was scaled as v1alpha1")
        back = _answered(new.read("young"), "it was read as v1 again")
        aged = _answered(new.read("aged"), "a v1alpha1 Site was read as v1")
    seen = (young.get("address"), back.get("replicas"), back.get("listen"), aged.get("listen"))
    if seen != ("live.labs.example:8443", 4, listen, {"host": "aged.labs.example"}):
        return not_yet(
            "o1-convert/other-function",
            f"Through the API server, a v1 Site read as v1alpha1 has {told(young)}; scaled there and read as v1 again "
            f"it has {told(back)}. The function in the notebook does better.",
            f"GET {new.path('young')}",
            "Is what was deployed the function that the notebook has now? Run the cell with `lab.deploy` again.",
        )
    return passed(
        f"{2 * EXAMPLES} generated Sites came back from the other version unharmed. Then, by way of the API server: a "
        "v1 Site with an alias was read and scaled as v1alpha1 and had its alias as v1; one written as v1alpha1 was "
        "read as v1.",
        f"POST, GET and PATCH to {old.path()} and {new.path()}",
    )


def _answered(answer: kube.Answer, words: str) -> Object:
    if answer.status >= 300:
        raise Rejected(
            not_yet(
                "o1-convert/refused",
                f"When {words}, the server answered: {refusal(answer)}",
                f"the answer to a request ({answer.status})",
                "What does the Pod say? `deployed.logs()` and `deployed.errors()`",
            )
        )
    return dict(answer.body.get("spec") or {})
