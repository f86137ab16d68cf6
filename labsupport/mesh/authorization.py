"""AuthorizationPolicies, and what they decide: records and pure functions. Envoy decides the same (translate/).

Where servers may understand a request differently from a proxy, the answer is not "no match" but doubt: a path with an
escaped slash, a header that came twice, and everything of HTTP where only bytes are seen. Doubt never lets a request
in: it matches no Allow and every Deny (three values, as in Kleene's logic; `doubt` below is what they count as).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from labsupport.mesh import api, names
from labsupport.mesh.api import Name, Object, Reference, Workload

ALLOW, DENY = "Allow", "Deny"
ENFORCE, AUDIT = "Enforce", "Audit"
KIND = "AuthorizationPolicy"

# A path that every server reads alike, once dots and doubled slashes are resolved: unreserved characters and
# sub-delimiters but ; (RFC 3986), escapes of what cannot stand there by itself, and of UTF-8 but for its overlong
# forms, in which some see a slash or a dot. (Envoy takes no larger expression.)
CLEAN_PATH = (
    r"/(?:[A-Za-z0-9/._~!$&'()*+,=:@\[\]-]|%(?:2[02]|3[CcEe]|5[BbDdEe]|60|7[BbCcDd]|[89ABDabd][0-9A-Fa-f]"
    r"|[Cc][2-9A-Fa-f]|[Ee][1-9A-Fa-f]|[Ff][1-4]|[Ee]0%[AaBb][0-9A-Fa-f]|[Ff]0%[9AaBb][0-9A-Fa-f]))*"
)
_CLEAN = re.compile(CLEAN_PATH)


@dataclass(frozen=True)
class Caller:
    """An entry of `from`: all given fields must hold, of each any value."""

    identities: tuple[str, ...] = ()  # NAMESPACE/SERVICEACCOUNT with *, or SPIFFE IDs
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Call:
    """An entry of `to`: all given fields must hold, of each any value."""

    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()  # whole, or the beginning where they end in *
    ports: tuple[int, ...] = ()
    headers: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Rule:
    """What one rule matches; an empty list says nothing."""

    callers: tuple[Caller, ...] = ()
    not_callers: tuple[Caller, ...] = ()
    calls: tuple[Call, ...] = ()
    not_calls: tuple[Call, ...] = ()

    @property
    def needs_http(self) -> bool:
        """Whether it names what only HTTP has."""
        return any(each.methods or each.paths or each.headers for each in (*self.calls, *self.not_calls))


@dataclass(frozen=True)
class AuthorizationPolicy:
    """Whose calls the Pods that it selects answer."""

    name: Name
    action: str = ALLOW
    mode: str = ENFORCE
    selector: Mapping[str, str] = field(default_factory=dict)  # empty: all Pods of its namespace
    rules: tuple[Rule, ...] = ()

    @property
    def reference(self) -> Reference:
        """Which object it is."""
        return Reference(KIND, *self.name)

    def selects(self, workload: Workload) -> bool:
        """Whether it is for this Pod."""
        return (
            self.name.namespace == workload.name.namespace
            and self.selector.items() <= workload.labels.items()
        )

    def rule_id(self, index: int) -> str:
        """How Envoy calls a rule, in `response_code_details` and in what it tells of a request."""
        return f"{self.name}/{index}"


def authorization_policy(found: Object) -> AuthorizationPolicy:
    """An AuthorizationPolicy's record."""
    spec = found.get("spec") or {}
    selector = (spec.get("selector") or {}).get("matchLabels") or {}
    rules = tuple(
        Rule(
            tuple(map(_caller, each.get("from") or ())),
            tuple(map(_caller, each.get("notFrom") or ())),
            tuple(map(_call, each.get("to") or ())),
            tuple(map(_call, each.get("notTo") or ())),
        )
        for each in spec.get("rules") or ()
    )
    return AuthorizationPolicy(
        api.name_of(found), spec.get("action", ALLOW), spec.get("mode", ENFORCE), selector, rules
    )


def _caller(found: Object) -> Caller:
    return Caller(tuple(found.get("identities") or ()), tuple(found.get("namespaces") or ()))


def _call(found: Object) -> Call:
    headers = tuple((each["name"].lower(), tuple(each["values"])) for each in found.get("headers") or ())
    methods, paths, ports = (tuple(found.get(key) or ()) for key in ("methods", "paths", "ports"))
    return Call(methods, paths, ports, headers)


_UNRESERVED = re.compile("%(2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])")
_ESCAPED = re.compile(r'[ "<>`{}^|]')


def resolved(path: str) -> str:
    """A request's path as the proxy passes it on, and compares it: without its query, and normalised (RFC 3986, 6.2.2).

    As Envoy does it: \\ is /, escapes of unreserved characters are undone, and then dots and doubled slashes.
    """
    path = path.partition("#")[0].partition("?")[0].replace("\\", "/")
    path = _UNRESERVED.sub(lambda found: chr(int(found[1], 16)), path)
    path = _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", path)
    kept: list[str] = []
    for part in path.removeprefix("/").split("/"):
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    ends = path.rpartition("/")[2] in (".", "..") and kept
    return re.sub("/+", "/", "/" + "/".join([*kept, *([""] if ends else [])]))


# What of several policies is asked together, and in which order: Envoy's map of rules is sorted by their names.


Rules = dict[str, Rule]


def rules_of(policies: Iterable[AuthorizationPolicy], action: str, *modes: str) -> Rules | None:
    """The rules of all policies of an action and of these modes, by their id; None where there is no such policy."""
    chosen = [each for each in policies if each.action == action and each.mode in modes]
    found = {each.rule_id(index): rule for each in chosen for index, rule in enumerate(each.rules)}
    return dict(sorted(found.items())) if chosen else None


def audited(policies: Sequence[AuthorizationPolicy], action: str) -> Rules | None:
    """The rules that are tried without effect: those that would hold if audited policies were enforced.

    None where no policy of this action is audited. Of Deny only theirs: what is denied already is not asked again.
    """
    own = rules_of(policies, action, AUDIT)
    return own if own is None or action == DENY else rules_of(policies, ALLOW, ENFORCE, AUDIT)


# What is decided.


@dataclass(frozen=True)
class Request:
    """A call as the proxy of the Pod that is called sees it. Without a method it is a connection of bytes."""

    identity: str = ""  # the caller's SPIFFE ID; "" without a certificate of the mesh
    port: int = 0  # of the Pod
    method: str = ""
    path: str = "/"  # as `resolved` makes it, without a query
    headers: Mapping[str, str] = field(default_factory=dict)  # lower case; several values joined by commas


@dataclass(frozen=True)
class Decision:
    """What policies make of a request."""

    allowed: bool
    rule: str = ""  # the id of the rule that decided; "" where none did
    reason: str = ""  # why, in one sentence


def decide(policies: Sequence[AuthorizationPolicy], request: Request, *modes: str) -> Decision:
    """What policies, all of which select the Pod, decide. Without `modes` those that are enforced count."""
    modes = modes or (ENFORCE,)
    for rule_id, rule in (rules_of(policies, DENY, *modes) or {}).items():
        if matches(rule, request, doubt=True):
            return Decision(False, rule_id, f"the Deny rule {rule_id} matches")
    allowing = rules_of(policies, ALLOW, *modes)
    if allowing is None:
        return Decision(True, "", "no Allow policy is for this Pod, and no Deny matches")
    for rule_id, rule in allowing.items():
        if matches(rule, request, doubt=False):
            return Decision(True, rule_id, f"the Allow rule {rule_id} matches, and no Deny does")
    return Decision(False, "", f"none of the {len(allowing)} Allow rules for this Pod matches")


def matches(rule: Rule, request: Request, *, doubt: bool) -> bool:
    """Whether a rule matches; where that cannot be known, `doubt`."""
    return not misses(rule, request, doubt=doubt)


def misses(rule: Rule, request: Request, *, doubt: bool) -> list[str]:
    """The fields of a rule by which it does not match: of `from`, `notFrom`, `to`, `notTo`."""
    found = {
        "from": not rule.callers or any(is_caller(each, request.identity) for each in rule.callers),
        "notFrom": not any(is_caller(each, request.identity) for each in rule.not_callers),
        "to": not rule.calls or any(is_call(each, request, doubt=doubt) for each in rule.calls),
        "notTo": not any(is_call(each, request, doubt=not doubt) for each in rule.not_calls),
    }
    return [name for name, holds in found.items() if not holds]


def is_caller(caller: Caller, identity: str) -> bool:
    """Whether a SPIFFE ID is one of these callers; no identity is none."""
    known = re.fullmatch(f"spiffe://{re.escape(names.TRUST_DOMAIN)}/ns/([^/]+)/sa/([^/]+)", identity)
    if known is None:
        return False
    namespace, account = known.groups()

    def named(pattern: str) -> bool:
        if pattern.startswith("spiffe://"):
            return pattern == identity
        wanted = pattern.partition("/")
        return wanted[0] in ("*", namespace) and wanted[2] in ("*", account)

    return (not caller.identities or any(map(named, caller.identities))) and (
        not caller.namespaces or namespace in caller.namespaces
    )


def is_call(call: Call, request: Request, *, doubt: bool) -> bool:
    """Whether a request is one of these calls; where that cannot be known, `doubt`."""
    if call.ports and request.port not in call.ports:
        return False
    if not request.method:
        return doubt or not (call.methods or call.paths or call.headers)
    return (
        (not call.methods or _is_method(call.methods, request.method, doubt))
        and (not call.paths or _is_path(call.paths, request.path, doubt))
        and all(_is_header(name, values, request.headers, doubt) for name, values in call.headers)
    )


def _is_method(methods: Sequence[str], method: str, doubt: bool) -> bool:
    return (method.upper() if doubt else method) in methods


def _is_path(paths: Sequence[str], path: str, doubt: bool) -> bool:
    if not _CLEAN.fullmatch(path):
        return doubt
    if not doubt:
        return any(_is_value(each, path) for each in paths)
    folded = [each.lower() for each in paths]
    return any(_is_value(each, path.lower()) or path.lower() == f"{each}/" for each in folded)


def _is_header(name: str, values: Sequence[str], headers: Mapping[str, str], doubt: bool) -> bool:
    if any(each in headers for each in spellings(name)) or "," in headers.get(name, ""):
        return doubt
    return name in headers and any(_is_value(each, headers[name]) for each in values)


def _is_value(pattern: str, value: str) -> bool:
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


def spellings(name: str) -> list[str]:
    """A header's name with _ for one or more of its - : to servers after CGI (RFC 3875, 4.1.18) it is the same."""
    parts = name.split("-")
    ways = itertools.product("-_", repeat=len(parts) - 1)
    made = ["".join(itertools.chain(*zip(parts, (*way, ""), strict=True))) for way in ways]
    return [each for each in made if each != name]
