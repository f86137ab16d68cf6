"""AuthorizationPolicies as Envoy's RBAC filters: what authorization.py decides, decided in the proxy.

HTTP: two filters, Deny before Allow, that are always in the inbound HTTP manager and get their rules by ECDS. So a
policy never changes the listener, and holds for the next request on every open connection. Bytes: the same two in the
filter chains themselves, of which only a decision that differs makes another chain, whose connections then drain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from labsupport.mesh import names
from labsupport.mesh.api import Name, Reference, Workload
from labsupport.mesh.authorization import (
    ALLOW,
    CLEAN_PATH,
    DENY,
    ENFORCE,
    Call,
    Caller,
    Rule,
    Rules,
    audited,
    rules_of,
    spellings,
)
from labsupport.mesh.model import Model
from labsupport.mesh.translate import envoy
from labsupport.mesh.translate.envoy import Json
from labsupport.mesh.translate.resource import Key, Resource, of_workload

# The resources, and the filters that ask for them. What they decided is in the dynamic metadata of the request under
# envoy.filters.http.rbac (or .network.): for Deny deny_shadow_engine_result ("denied" if audited policies would) and
# deny_shadow_effective_policy_id, for Allow allow_...; response_code_details names the rule that refused.
FILTERS = {"authorization/deny": DENY, "authorization/allow": ALLOW}
_HTTP_RBAC, _TCP_RBAC = (f"extensions.filters.{kind}.rbac.v3.RBAC" for kind in ("http", "network"))
TRUE: Json = {"any": True}


def translate(model: Model, name: Name) -> list[Resource]:
    """The rules for HTTP that comes to one Pod; none if it has no proxy, or none that is captured to."""
    workload = model.workloads.get(name)
    if workload is None or workload.capture != "redirect":
        return []
    policies = model.policies_for(workload)
    sources = (Reference("Pod", *name), *(each.reference for each in policies))
    found = []
    for label, action in FILTERS.items():
        body = envoy.typed(label, _HTTP_RBAC, **_rbac(model, workload, action, _http_policy))
        found.append(Resource(Key(envoy.EXTENSION, of_workload(name), label), body, sources))
    return found


def http_filters() -> list[Json]:
    """The filters of the inbound HTTP manager; as long as one has no rules, requests are answered 500."""
    return [
        {
            "name": label,
            "config_discovery": {"config_source": envoy.ADS, "type_urls": [f"{envoy.TYPE}{_HTTP_RBAC}"]},
        }
        for label in FILTERS
    ]


def tcp_filters(model: Model, workload: Workload, port: int | None) -> list[Json]:
    """The filters of a chain that passes bytes on; `port`: the chain's, None for all that have none of their own."""

    def policy(rule: Rule, action: str) -> Json | None:
        return _policy(rule, action, lambda call, doubt: _bytes(call, port, doubt))

    found = []
    for label, action in FILTERS.items():
        if rules := _rbac(model, workload, action, policy):
            made = envoy.typed("envoy.filters.network.rbac", _TCP_RBAC, stat_prefix="authorization.", **rules)
            found.append({**made, "name": label})
    return found


def _rbac(model: Model, workload: Workload, action: str, policy: Callable[[Rule, str], Json | None]) -> Json:
    """The fields of a filter. Without `rules` it lets everything pass."""
    policies = model.policies_for(workload)
    found: Json = {}

    def add(key: str, rules: Rules | None) -> None:
        if rules is None:
            return
        made = {rule_id: one for rule_id, rule in rules.items() if (one := policy(rule, action))}
        if made or action == ALLOW:  # Allow without rules refuses everything, Deny nothing
            found[key] = {"action": action.upper(), "policies": made}

    add("rules", rules_of(policies, action, ENFORCE))
    add("shadow_rules", audited(policies, action))
    if "shadow_rules" in found:
        found["shadow_rules_stat_prefix"] = f"{action.lower()}_"
    return found


def _http_policy(rule: Rule, action: str) -> Json | None:
    return _policy(rule, action, _http)


def _policy(rule: Rule, action: str, call: Callable[[Call, bool], Json]) -> Json | None:
    """One rule; None if it can match nothing. In a Deny doubt counts as a match, in an Allow it does not."""
    doubt = action == DENY
    calls = [_some(call(each, doubt) for each in rule.calls)] if rule.calls else []
    calls += [_no(call(each, not doubt)) for each in rule.not_calls]
    callers = [_some(map(_caller, rule.callers))] if rule.callers else []
    callers += [_no(_caller(each)) for each in rule.not_callers]
    permission, principal = _every(calls), _every(callers)
    if _no(TRUE) in (permission, principal):
        return None
    return {"permissions": [permission], "principals": [_as_principal(principal)]}


def _http(call: Call, doubt: bool) -> Json:
    parts = [_some({"destination_port": port} for port in call.ports)] if call.ports else []
    if call.methods:
        parts.append(
            _some(_header(":method", {"exact": each, "ignore_case": doubt}) for each in call.methods)
        )
    if call.paths:
        parts.append(_path(call.paths, doubt))
    return _every([*parts, *(_value(name, values, doubt) for name, values in call.headers)])


def _path(paths: Iterable[str], doubt: bool) -> Json:
    clean = _url({"safe_regex": {"regex": CLEAN_PATH}})
    if not doubt:
        return _every([clean, _some(_url(_pattern(each)) for each in paths)])
    wanted = [each for path in paths for each in ((path,) if path.endswith("*") else (path, f"{path}/"))]
    return _some([_no(clean), *(_url({**_pattern(each), "ignore_case": True}) for each in wanted)])


def _value(name: str, values: Iterable[str], doubt: bool) -> Json:
    unclear = [{"header": {"name": each, "present_match": True}} for each in spellings(name)]
    unclear.append(_header(name, {"contains": ","}))  # several of one name are joined so (proxy/bootstrap.py)
    wanted = [_header(name, _pattern(each)) for each in values]
    return _some([*unclear, *wanted]) if doubt else _every([*map(_no, unclear), _some(wanted)])


def _bytes(call: Call, port: int | None, doubt: bool) -> Json:
    """What is known of a call where only bytes are seen: its port."""
    if not doubt and (call.methods or call.paths or call.headers):
        return _no(TRUE)
    if not call.ports:
        return TRUE
    if port is not None:  # the chain is of this port alone
        return TRUE if port in call.ports else _no(TRUE)
    return _some({"destination_port": each} for each in call.ports)


def _caller(caller: Caller) -> Json:
    parts = [_some(map(_identity, caller.identities))] if caller.identities else []
    if caller.namespaces:
        parts.append(_some(_identity(f"{each}/*") for each in caller.namespaces))
    return _every(parts)


def _identity(pattern: str) -> Json:
    """The URI in the certificate that the caller has proven to own; certificates of the mesh have one."""
    whole = pattern if pattern.startswith("spiffe://") else names.spiffe_id(*pattern.split("/"))
    if "*" in whole:
        match: Json = {"safe_regex": {"regex": re.escape(whole).replace(r"\*", "[^/]+")}}
    else:
        match = {"exact": whole}
    return {"authenticated": {"principal_name": match}}


def _pattern(value: str) -> Json:
    return {"prefix": value[:-1]} if value.endswith("*") else {"exact": value}


def _url(match: Json) -> Json:
    return {"url_path": {"path": match}}


def _header(name: str, match: Json) -> Json:
    return {"header": {"name": name, "string_match": match}}


# Envoy's "and", "or" and "not", made as small as can be: so what decides the same is the same.


def _some(parts: Iterable[Json]) -> Json:
    found = [each for each in parts if each != _no(TRUE)]
    if TRUE in found:
        return TRUE
    return _joined(found, "or_rules") if found else _no(TRUE)


def _every(parts: Iterable[Json]) -> Json:
    found = [each for each in parts if each != TRUE]
    if _no(TRUE) in found:
        return _no(TRUE)
    return _joined(found, "and_rules") if found else TRUE


def _no(part: Json) -> Json:
    return dict(part["not_rule"]) if "not_rule" in part else {"not_rule": part}


def _joined(parts: list[Json], how: str) -> Json:
    return parts[0] if len(parts) == 1 else {how: {"rules": parts}}


def _as_principal(part: Json) -> Json:
    """The same expression in the words that Envoy has for callers."""
    for how, own in (("or_rules", "or_ids"), ("and_rules", "and_ids")):
        if how in part:
            return {own: {"ids": [_as_principal(each) for each in part[how]["rules"]]}}
    return {"not_id": _as_principal(part["not_rule"])} if "not_rule" in part else part
