"""Which requests a rule is for, and which of two matches comes first.

The Gateway API orders matches (HTTPRouteRule.matches in its reference): an exact path, then the longer prefix, a
method, more headers, more query parameters; for a GRPCRoute the longer service, the longer method, more headers. Envoy
takes the first route that matches, so that order is made here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import re2

from labsupport.mesh.api import Object
from labsupport.mesh.translate.envoy import Json

_QUIET = re2.Options()
_QUIET.log_errors = False  # what is wrong is said in the route's status
# A regular expression is no more specific than what is written out, but more so than "everything".
_EXACT, _PREFIX, _REGEX, _ANY = range(4)


@dataclass(frozen=True)
class Match:
    """A match in Envoy's words. `prefix` is the path's prefix if it matches by one, "" else."""

    order: tuple[Any, ...]
    envoy: Json
    prefix: str


def read(kind: str, match: Object) -> Match:
    """A match of an HTTPRoute or a GRPCRoute."""
    return _grpc(match) if kind == "GRPCRoute" else _http(match)


def fault(match: Object) -> str:
    """Why a match cannot be used: a regular expression that is none in RE2's syntax, which is Envoy's; "" if it can."""
    method = match.get("method")
    parts = [match.get("path") or {}, *(match.get("headers") or ()), *(match.get("queryParams") or ())]
    regexes = [each["value"] for each in parts if each.get("type") == "RegularExpression"]
    if isinstance(method, dict) and method.get("type") == "RegularExpression":
        regexes += [method[key] for key in ("service", "method") if key in method]
    for regex in regexes:
        try:
            re2.compile(regex, _QUIET)
        except re2.error as error:
            said = error.args[0]
            return f"{regex!r}: {said.decode() if isinstance(said, bytes) else said}"
    return ""


def _http(match: Object) -> Match:
    path = match.get("path") or {}
    kind, value = path.get("type", "PathPrefix"), path.get("value", "/")
    headers = [_named(each) for each in first_of_each(match.get("headers") or (), fold=True)]
    count = len(headers)
    if method := match.get("method"):
        headers.append({"name": ":method", "string_match": {"exact": method}})
    query = [_named(each) for each in first_of_each(match.get("queryParams") or (), fold=False)]
    prefix = ""
    if kind == "Exact":
        rank, found = _EXACT, {"path": value}
    elif kind == "RegularExpression":
        rank, found = _REGEX, {"safe_regex": {"regex": value}}
    else:
        # By whole elements: /shop matches /shop/tea, not /shopping. Envoy has that for all but the root.
        prefix = value.rstrip("/") or "/"
        rank, found = (
            (_ANY, {"prefix": "/"}) if prefix == "/" else (_PREFIX, {"path_separated_prefix": prefix})
        )
    order = (rank, -len(value), not method, -count, -len(query))
    return Match(order, {**found, "headers": headers, "query_parameters": query}, prefix)


def _grpc(match: Object) -> Match:
    method = match.get("method") or {}
    service, name = method.get("service", ""), method.get("method", "")
    headers = [_named(each) for each in first_of_each(match.get("headers") or (), fold=True)]
    if method.get("type", "Exact") == "RegularExpression":
        found: Json = {"safe_regex": {"regex": f"/(?:{service or '[^/]+'})/(?:{name or '[^/]+'})"}}
    elif service and name:
        found = {"path": f"/{service}/{name}"}
    elif service:
        found = {"prefix": f"/{service}/"}
    elif name:
        found = {"safe_regex": {"regex": f"/[^/]+/{re.escape(name)}"}}
    else:
        found = {"prefix": "/"}
    order = (-len(service), -len(name), -len(headers))
    return Match(order, {**found, "headers": headers, "grpc": {}}, "")


def _named(each: Object) -> Json:
    """A header or query parameter by its value."""
    regex = each.get("type", "Exact") == "RegularExpression"
    value: Json = {"safe_regex": {"regex": each["value"]}} if regex else {"exact": each["value"]}
    return {"name": each["name"], "string_match": value}


def first_of_each(entries: Any, *, fold: bool) -> list[Object]:
    """Of entries with the same name only the first counts (for headers in any case)."""
    found: dict[str, Object] = {}
    for each in entries:
        found.setdefault(each["name"].lower() if fold else each["name"], each)
    return list(found.values())
