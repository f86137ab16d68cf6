"""The checks of lab O1. They send requests with Sites that the notebook does not show, nearly all as dry runs, and look
at what the server makes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons.customresource import TABLE, Custom, refusal, told

LONG = "a" * 254  # one more than a DNS name may have (RFC 1035)
DEFINITION = "the CustomResourceDefinition of sites"

Object = dict[str, Any]


def sites(probe: Probe, exercise: str, version: str = "v1alpha1") -> Custom:
    """The Sites of the lab in one version, once the definition is served as it stands."""
    custom = Custom(probe.api, probe.world.group, version, "Site", "sites", probe.namespace)
    definition = custom.definition()
    if definition is None:
        others = [
            each["metadata"]["name"]
            for each in kube.list_objects(probe.api, "apiextensions.k8s.io/v1", "CustomResourceDefinition")
            if each["spec"]["names"]["kind"] == "Site"
        ]
        seen = f" There is {', '.join(others)}, in another group." if others else ""
        raise Rejected(
            not_yet(
                f"{exercise}/no-definition",
                f"The API server knows no sites in the group {probe.world.group}.{seen}",
                f"CustomResourceDefinition sites.{probe.world.group}",
                "Has the cell above been run, and did the server accept what it applied?",
            )
        )
    names = [each["name"] for each in definition["spec"]["versions"] if each["served"]]
    if version not in names:
        raise Rejected(
            not_yet(
                f"{exercise}/no-version",
                f"Sites are served as {' and '.join(names) or 'nothing'}, not as {version}.",
                f"{DEFINITION}, spec.versions",
                "A version has a name, and two switches: one says whether it is served, one whether it is stored.",
            )
        )
    if definition["spec"]["scope"] != "Namespaced":
        raise Rejected(
            not_yet(
                f"{exercise}/scope",
                "These Sites live outside all namespaces, so every team would share one set of names.",
                f"{DEFINITION}, spec.scope",
                "Each Site belongs to a namespace, as a Deployment does.",
            )
        )
    custom.settle()
    return custom


# --- o1-schema


def schema(probe: Probe) -> Outcome:
    """o1-schema: types, limits, defaults and pruning, seen in what comes back for Sites never seen before."""
    custom = sites(probe, "o1-schema")
    if outcome := _fields(custom):
        return outcome
    return passed(
        "Good Sites came back complete, with what was given and with the defaults; what no table has was dropped; "
        "each Site with something wrong was refused.",
        f"POST {custom.path()}?dryRun=All",
    )


def _fields(custom: Custom) -> Outcome | None:
    """What is wrong with the fields of a Site, if anything is. No case breaks a rule of a later exercise."""
    return _defaults(custom) or _kept(custom) or _refused(custom)


def _defaults(custom: Custom) -> Outcome | None:
    spec = _accepted(custom, {"release": 7}, "o1-schema/good-refused")
    if "replicas" not in spec:
        return _schema(
            "no-default", {"release": 7}, "without `spec.replicas`", "spec.replicas", "`default` fills in."
        )
    if "probe" not in spec:
        return _schema(
            "orphan-default",
            {"release": 7},
            "without any `spec.probe`, although its fields may have defaults: nobody filled in the object around them",
            "spec.probe",
            "A default is looked at only where the object around it is there. What could bring that object about?",
        )
    if spec["replicas"] != 1 or spec["probe"] != {"path": "/healthz", "seconds": 10}:
        found = {"replicas": spec["replicas"], "probe": spec["probe"]}
        return _schema(
            "other-default", {"release": 7}, f"with {told(found)}", "the defaults", "Compare with the table."
        )
    for given, wanted in (
        ({"release": 7, "probe": {}}, {"path": "/healthz", "seconds": 10}),
        ({"release": 7, "probe": {"seconds": 3}}, {"path": "/healthz", "seconds": 3}),
        ({"release": 7, "probe": {"path": "/up"}}, {"path": "/up", "seconds": 10}),
    ):
        spec = _accepted(custom, given, "o1-schema/good-refused")
        if spec.get("probe") != wanted:
            return _schema(
                "half-default",
                given,
                f"with probe ({told(spec.get('probe') or {})})",
                "spec.probe",
                "Whoever gives one half of a probe should get the other: each field needs a default of its own.",
            )
    return None


def _kept(custom: Custom) -> Outcome | None:
    for given in (
        {"release": 1, "replicas": 0, "probe": {"path": "/a", "seconds": 1}},
        {"release": 400, "replicas": 5, "address": LONG[:-1], "probe": {"path": "/b", "seconds": 90}},
    ):
        spec = _accepted(custom, given, "o1-schema/good-refused")
        if lost := sorted(set(given) - set(spec)):
            return _schema(
                "field-lost",
                given,
                f"without {' and '.join(f'`spec.{name}`' for name in lost)}",
                f"spec.{lost[0]}",
                "The server keeps what the schema mentions, and drops the rest.",
            )
        if spec != given:
            return _schema("changed", given, f"as {told(spec)}", "spec", "Which field was changed?")
    for place, given in (
        ("spec", {"release": 3, "replcias": 4}),
        ("spec.probe", {"release": 3, "probe": {"path": "/", "pause": 4}}),
    ):
        spec = _accepted(custom, given, "o1-schema/good-refused")
        if "replcias" in spec or "pause" in spec.get("probe", {}):
            return _schema(
                "unknown-kept",
                given,
                "with the misspelt field in it, for ever",
                place,
                "Something in the schema asks the server to keep fields that it does not know.",
            )
    return None


def _refused(custom: Custom) -> Outcome | None:
    cases: tuple[tuple[str, Mapping[str, Any] | None, str], ...] = (
        ("no-spec-accepted", None, "no spec at all"),
        ("no-release-accepted", {"replicas": 2}, "no release"),
        ("type-accepted", {"release": "2"}, "a release that is a text"),
        ("type-accepted", {"release": 2.5}, "a release that is no whole number"),
        ("type-accepted", {"release": 2, "replicas": 1.5}, "one and a half replicas"),
        ("type-accepted", {"release": 2, "replicas": 2, "address": 80}, "an address that is a number"),
        ("type-accepted", {"release": 2, "probe": {"path": 1}}, "a path that is a number"),
        ("type-accepted", {"release": 2, "probe": {"seconds": 1.5}}, "one and a half seconds"),
        ("limit-accepted", {"release": 0}, "a release below the first"),
        ("limit-accepted", {"release": 2, "replicas": -1}, "fewer than no replicas"),
        ("limit-accepted", {"release": 2, "replicas": 6}, "too many replicas"),
        (
            "limit-accepted",
            {"release": 2, "replicas": 2, "address": LONG},
            f"an address of {len(LONG)} characters",
        ),
        ("limit-accepted", {"release": 2, "probe": {"seconds": 0}}, "a probe without a pause"),
    )
    for diagnostic, given, words in cases:
        if custom.create("new", given).status < 300:
            return not_yet(
                f"o1-schema/{diagnostic}",
                f"The server accepted a Site with {words}.",
                f"POST {custom.path()}?dryRun=All, {told(given or {})[:80]}",
                {
                    "type-accepted": "Each field has a type; the whole numbers of this table have a type of their own.",
                    "limit-accepted": "Numbers have a least and a greatest value in a schema, texts a length.",
                }.get(diagnostic, "A property may be absent unless the object around it says otherwise."),
            )
    return None


def _accepted(custom: Custom, given: Mapping[str, Any], diagnostic: str) -> Object:
    """The spec that comes back for one that must be accepted."""
    answer = custom.create("new", given)
    if answer.status >= 300:
        raise Rejected(
            not_yet(
                diagnostic,
                f"The server refused a Site that is all right ({told(given)}): {refusal(answer)}",
                f"POST {custom.path()}?dryRun=All",
                "The refusal names the field. Is it stricter than it should be?",
            )
        )
    return dict(answer.body.get("spec") or {})


def _schema(diagnostic: str, given: Mapping[str, Any], seen: str, field: str, look: str) -> Outcome:
    return not_yet(
        f"o1-schema/{diagnostic}",
        f"A Site with {told(given)[:120]} came back {seen}.",
        f"{DEFINITION}, {field}",
        look,
    )


def _given(exercise: str, custom: Custom, *judges: Callable[[Custom], Outcome | None]) -> Outcome | None:
    """What an answer has changed of that part of the definition that the exercise began with."""
    for judge in judges:
        try:
            outcome = judge(custom)
        except Rejected as rejected:
            outcome = rejected.outcome
        if outcome:
            return not_yet(
                f"{exercise}/given-changed",
                f"What was asked for is there, but something that was there before is not. {outcome.observed}",
                outcome.decided_by,
                "Which of the lines that the cell began with are different now?",
            )
    return None


# --- o1-prune


def prune(probe: Probe) -> Outcome:
    """o1-prune: committed first; then what a GET of the old Site shows, and who owns what in it."""
    predicted = probe.prediction
    if predicted is None:
        return not_yet(
            "o1-prune/not-committed",
            "No prediction has been committed.",
            "the record of your predictions",
            'Choose one of the four words and run `lab.predict("o1-prune", "...")`.',
        )
    custom = sites(probe, "o1-prune")
    answer = custom.read("early")
    if answer.status != 200:
        return not_yet(
            "o1-prune/no-site",
            f"There is no Site early to look at: {refusal(answer)}",
            f"GET {custom.path('early')}",
            "Run the cell below the prediction: it lives through the year.",
        )
    spec, metadata = answer.body["spec"], answer.body["metadata"]
    owned = [each["fieldsV1"].get("f:spec", {}) for each in metadata.get("managedFields") or []]
    if "probe" not in spec or any("f:probe" in each for each in owned):
        return not_yet(
            "o1-prune/other-site",
            "The Site early is not as the year left it: " + told(spec),
            f"Site early in {probe.namespace}",
            "Run the cell below the prediction once more.",
        )
    seen = "completed"
    verdict = "as predicted" if predicted == seen else f"predicted was `{predicted}`"
    return passed(
        f"`{seen}` ({verdict}): GET shows {told(spec)}. No manager owns the probe and the object is still at its "
        f"resourceVersion {metadata['resourceVersion']}, generation {metadata['generation']}: nobody wrote it.",
        f"GET {custom.path('early')}, against its managedFields",
    )


# --- o1-rules


def rules(probe: Probe) -> Outcome:
    """o1-rules: creations and updates that the rules must allow and refuse, as dry runs on Sites of our own."""
    served = sites(probe, "o1-rules")
    with probe.scratch() as namespace:
        custom = replace(served, namespace=namespace)
        if outcome := _rules(custom) or _given("o1-rules", custom, _fields):
            return outcome
    return passed(
        "Every good creation and update went through, also one that set an address where there was none; the bad were "
        "refused, each with a sentence for its reader. Fields and defaults are as they were.",
        f"POST and PATCH to {custom.path()}",
    )


def _rules(custom: Custom) -> Outcome | None:
    """None where all three rules hold. Errors: Rejected."""
    for given in (
        {"release": 5, "replicas": 0},
        {"release": 5},
        {"release": 5, "replicas": 2, "address": "a.labs.example"},
        {"release": 5, "replicas": 5, "address": "b.labs.example"},
    ):
        _allowed(custom, custom.create("new", given), f"the creation of a Site with {told(given)}")
    for given in (
        {"release": 5, "replicas": 1, "address": "a.labs.example"},
        {"release": 5, "replicas": 0, "address": "a.labs.example"},
        {"release": 5, "address": "a.labs.example"},
    ):
        answer = custom.create("new", given)
        _forbidden(custom, answer, "few-replicas", f"A Site with {told(given)} was accepted")
    plain = {"release": 6, "replicas": 3}
    for name, spec in (("plain", plain), ("known", {**plain, "address": "c.labs.example"})):
        _allowed(custom, custom.create(name, spec, dry=False), f"the creation of a Site with {told(spec)}")
    _updates(custom)
    return None


def _updates(custom: Custom) -> None:
    for name, change in (
        ("plain", {"release": 7}),
        ("plain", {"release": 6, "replicas": 1}),
        ("plain", {"address": "d.labs.example"}),
        ("known", {"release": 60, "replicas": 2}),
        ("known", {"probe": {"seconds": 2}}),
    ):
        before = "with an address" if name == "known" else "without an address"
        answer = custom.patch(name, {"spec": change})
        _allowed(custom, answer, f"an update to {told(change)} of a Site of release 6 {before}")
    for diagnostic, name, change, words in (
        ("release-down", "plain", {"release": 5}, "A Site went from release 6 back to 5"),
        ("release-down", "known", {"release": 1}, "A Site went from release 6 back to 1"),
        ("address-changed", "known", {"address": "e.labs.example"}, "A Site was given another address"),
        ("removable", "known", {"address": None}, "A Site lost its address, so its next one could be any"),
        ("few-replicas", "plain", {"address": "d.labs.example", "replicas": 1}, "One replica got an address"),
    ):
        _forbidden(custom, custom.patch(name, {"spec": change}), diagnostic, words)


def _allowed(custom: Custom, answer: kube.Answer, words: str) -> None:
    if answer.status >= 300:
        raise Rejected(
            not_yet(
                "o1-rules/too-strict",
                f"The server refused {words}: {refusal(answer)}",
                f"{DEFINITION}, x-kubernetes-validations",
                "Whoever asks for a field that is absent gets an error, and an error refuses. `has()` asks first.",
            )
        )


def _forbidden(custom: Custom, answer: kube.Answer, diagnostic: str, words: str) -> None:
    if answer.status < 300:
        definition = custom.definition() or {"spec": {"versions": []}}
        with_rules = [
            each["name"]
            for each in definition["spec"]["versions"]
            if "x-kubernetes-validations" in str(each) and each["name"] != custom.version
        ]
        if with_rules:
            diagnostic, words = "other-version", f"{words}; the rules stand in version {with_rules[0]} only"
        raise Rejected(
            not_yet(
                f"o1-rules/{diagnostic}",
                f"{words}.",
                f"{DEFINITION}, x-kubernetes-validations",
                {
                    "removable": "A rule on a field is asked only where the field is there, before and after. "
                    "Where would a rule have to stand to see it go?",
                    "other-version": "Each version has a schema of its own, and a request is judged by the version it "
                    "names.",
                }.get(
                    diagnostic,
                    "Which rule should have said no? `self` is what comes, `oldSelf` what is there.",
                ),
            )
        )
    if "failed rule" in refusal(answer):
        raise Rejected(
            not_yet(
                "o1-rules/no-message",
                f"A refusal came without a sentence for its reader: {refusal(answer)}",
                f"{DEFINITION}, x-kubernetes-validations[].message",
                "A rule may carry a message of its own. Who gets the refusal may never have seen the rule.",
            )
        )


# --- o1-subresources


def subresources(probe: Probe) -> Outcome:
    """o1-subresources: a Site of our own gets a status, is scaled and is printed."""
    served = sites(probe, "o1-subresources")
    with probe.scratch() as namespace:
        custom = replace(served, namespace=namespace)
        made = custom.create("unseen", {"release": 71, "replicas": 4}, dry=False)
        if made.status >= 300:
            return _sub(
                "refused",
                f"A Site could not even be created: {refusal(made)}",
                "the schema",
                "See the reason.",
            )
        for judge in (_status, _scale, _columns):
            if outcome := judge(custom):
                return outcome
        if outcome := _given("o1-subresources", custom, _fields, _rules):
            return outcome
    return passed(
        "Status went in by its own door and stayed out by the other; the scale door changed spec.replicas alone; "
        "the table shows release, wanted and running replicas and the age. Fields and rules are as they were.",
        f"{custom.path('unseen')}, /status, /scale and its Table",
    )


def _status(custom: Custom) -> Outcome | None:
    wanted = {"observedGeneration": 1, "replicas": 3, "selector": "site=unseen"}
    if custom.read("unseen", "status").status == 404:
        place = _elsewhere(custom, "status")
        return _sub(
            "no-status",
            f"There is no door for the status: GET .../status answers 404.{place}",
            "subresources",
            "Subresources are switched on in a version, beside its schema.",
        )
    answer = custom.patch("unseen", {"status": wanted}, "status", dry=False)
    if answer.status >= 300:
        return _sub(
            "status-refused", f"A good status was refused: {refusal(answer)}", "status", "See the reason."
        )
    stored = answer.body.get("status") or {}
    if lost := sorted(set(wanted) - set(stored)):
        return _sub(
            "status-pruned",
            f"A status was accepted and came back without {' and '.join(lost)}.",
            "schema, properties.status",
            "A status is pruned like everything else: the schema must know its fields.",
        )
    none_running = custom.patch("unseen", {"status": {"replicas": 0}}, "status")
    if none_running.status >= 300:
        return _sub(
            "status-refused",
            f"The status of a Site of which nothing runs yet was refused: {refusal(none_running)}",
            "schema, properties.status.properties.replicas",
            "What can a controller see, and must be able to report?",
        )
    for name, value in (
        ("observedGeneration", "one"),
        ("replicas", "three"),
        ("selector", 3),
        ("replicas", 1.5),
    ):
        if custom.patch("unseen", {"status": {name: value}}, "status").status < 300:
            return _sub(
                "status-type",
                f"The status took {value!r} for {name}.",
                f"schema, properties.status.properties.{name}",
                "The fields of a status have types too.",
            )
    before = answer.body["metadata"]["generation"]
    after = custom.patch("unseen", {"status": {"replicas": 1}, "spec": {"release": 72}}).body
    if after["status"].get("replicas") != 3 or after["metadata"]["generation"] != before + 1:
        return _sub(
            "status-open",
            "A write to the Site itself changed its status, or its generation did not count.",
            "subresources.status",
            "With a status subresource each door writes one half.",
        )
    return None


def _scale(custom: Custom) -> Outcome | None:
    answer = custom.read("unseen", "scale")
    if answer.status == 404:
        return _sub(
            "no-scale",
            f"`kubectl scale` finds no door: GET .../scale answers 404.{_elsewhere(custom, 'scale')}",
            "subresources",
            "The scale subresource translates for those who know nothing of Sites, by paths into the object.",
        )
    spec, status = answer.body.get("spec") or {}, answer.body.get("status") or {}
    if spec.get("replicas") != 4:
        return _sub(
            "scale-spec",
            f"A Site that wants 4 replicas has a scale with {told(spec)}.",
            "subresources.scale",
            "One of the paths says where in a Site the wanted number is.",
        )
    if status.get("replicas") != 3:
        return _sub(
            "scale-status",
            f"A Site with 3 running replicas has a scale with the status {told(status)}.",
            "subresources.scale",
            "One of the paths says where in a Site the running number is.",
        )
    if status.get("selector") != "site=unseen":
        return _sub(
            "scale-selector",
            "The scale does not say which Pods belong to the Site, so no autoscaler could measure them.",
            "subresources.scale",
            "There is a third path, and its target is a text in the status.",
        )
    scaled = custom.patch("unseen", {"spec": {"replicas": 2}}, "scale")
    if scaled.status >= 300 or scaled.body["spec"].get("replicas") != 2:
        return _sub(
            "scale-write", f"Scaling to 2 failed: {refusal(scaled)}", "subresources.scale", "See the reason."
        )
    return None


def _columns(custom: Custom) -> Outcome | None:
    table = custom.read("unseen", accept=TABLE).body
    names = [column["name"] for column in table["columnDefinitions"]]
    usual = [number for number, column in enumerate(table["columnDefinitions"]) if not column.get("priority")]
    cells = table["rows"][0]["cells"]
    shown = {str(cells[number]) for number in usual}
    missing = [
        words
        for value, words in (("71", "release"), ("4", "wanted replicas"), ("3", "running replicas"))
        if value not in shown
    ]
    if missing:
        empty = [names[number] for number in usual if cells[number] in (None, "")]
        return _sub(
            "empty-column" if empty else "no-column",
            f"`kubectl get` shows {', '.join(names[number] for number in usual)}"
            + (f"; {' and '.join(empty)} stayed empty" if empty else "")
            + f". Not to be seen: {' and '.join(missing)}.",
            "additionalPrinterColumns",
            "A column has a name, a type and a path into the object; a path that leads nowhere prints nothing.",
        )
    ages = [
        cell for cell in (cells[number] for number in usual) if isinstance(cell, str) and cell[-1:] == "s"
    ]
    if not ages:
        return _sub(
            "no-age",
            f"`kubectl get` shows {', '.join(names[number] for number in usual)}, but not how old a Site is.",
            "additionalPrinterColumns",
            "The age is printed for you only as long as you define no columns. Its type is not a number.",
        )
    return None


def _elsewhere(custom: Custom, subresource: str) -> str:
    """A half-sentence on a subresource that another version has."""
    definition = custom.definition() or {"spec": {"versions": []}}
    having = [
        each["name"]
        for each in definition["spec"]["versions"]
        if subresource in (each.get("subresources") or {}) and each["name"] != custom.version
    ]
    return f" Version {having[0]} has one." if having else ""


def _sub(diagnostic: str, seen: str, field: str, look: str) -> Outcome:
    return not_yet(f"o1-subresources/{diagnostic}", seen, f"{DEFINITION}, {field}", look)


# --- o1-convert

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


OFFLINE: dict[str, Callable[[Probe], Outcome]] = {"o1-convert": convert_offline}
CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "o1-schema": schema,
    "o1-prune": prune,
    "o1-rules": rules,
    "o1-subresources": subresources,
    "o1-convert": convert_live,
}
