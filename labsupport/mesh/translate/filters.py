"""What a rule's filters change: headers, redirects, rewrites, copies."""

from __future__ import annotations

import re
from collections.abc import Iterable

from labsupport.mesh.api import Object
from labsupport.mesh.translate.envoy import Json
from labsupport.mesh.translate.matches import first_of_each

SUPPORTED_AT_BACKENDS = {"RequestHeaderModifier", "ResponseHeaderModifier"}
SUPPORTED = SUPPORTED_AT_BACKENDS | {
    "RequestMirror",
    "RequestRedirect",
    "URLRewrite",
}
_STATUS = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
_WELL_KNOWN = {"http": 80, "https": 443}
_UNIT = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def headers(filters: Iterable[Object]) -> Json:
    """Headers of requests and responses that are set, added and removed: of a route, or of one of its clusters."""
    found: Json = {}
    for each in filters:
        for side in ("request", "response"):
            if each["type"] == f"{side.capitalize()}HeaderModifier":
                _headers(found, side, each[f"{side}HeaderModifier"])
    return found


def _headers(found: Json, side: str, change: Object) -> None:
    for key, action in (("set", "OVERWRITE_IF_EXISTS_OR_ADD"), ("add", "APPEND_IF_EXISTS_OR_ADD")):
        for each in first_of_each(change.get(key) or (), fold=True):
            if each["name"].lower() == "host":
                continue  # Envoy refuses that; `host` has it
            # Envoy would expand %…% in a value; to the Gateway API it is text.
            header = {"key": each["name"], "value": each["value"].replace("%", "%%")}
            entry = {"header": header, "append_action": action}
            found.setdefault(f"{side}_headers_to_add", []).append(entry)
    if removed := [name for name in change.get("remove") or () if name.lower() != "host"]:
        found.setdefault(f"{side}_headers_to_remove", []).extend(removed)


def host(filters: Iterable[Object]) -> Json:
    """The Host header, if it is among those that are set."""
    changes = [each[kind] for each in filters if (kind := "requestHeaderModifier") in each]
    named = [each for change in changes for key in ("set", "add") for each in change.get(key) or ()]
    values = [each["value"] for each in named if each["name"].lower() == "host"]
    return {"host_rewrite_literal": values[-1]} if values else {}


def redirect(filters: Iterable[Object], prefix: str, port: int) -> Json | None:
    """The redirect among the filters, if there is one.

    `prefix` is what the rule's path matched by, `port` the Service's: clients stay at it if neither a port nor a scheme
    is asked for.
    """
    asked = next((each["requestRedirect"] for each in filters if each["type"] == "RequestRedirect"), None)
    if asked is None:
        return None
    found: Json = {"response_code": _STATUS[asked.get("statusCode", 302)]}
    if "hostname" in asked:
        found["host_redirect"] = asked["hostname"]
    if "scheme" in asked:
        found["scheme_redirect"] = asked["scheme"]
    wanted = asked.get("port") or _WELL_KNOWN.get(asked.get("scheme", ""), port)
    # A scheme's well-known port is left out of `location`, but Envoy keeps the one in the request's Host header.
    bare = "hostname" in asked or port == _WELL_KNOWN["http"]
    if wanted != _WELL_KNOWN[asked.get("scheme", "http")] or not bare:
        found["port_redirect"] = wanted
    if path := asked.get("path"):
        if path["type"] == "ReplaceFullPath":
            found["path_redirect"] = path["replaceFullPath"]
        else:
            found |= _prefix(prefix, path["replacePrefixMatch"])
    return found


def rewrite(filters: Iterable[Object], prefix: str) -> Json:
    """The rewriting of host and path among the filters."""
    asked: Object = next((each["urlRewrite"] for each in filters if each["type"] == "URLRewrite"), {})
    found: Json = {}
    if "hostname" in asked:
        found["host_rewrite_literal"] = asked["hostname"]
    if path := asked.get("path"):
        if path["type"] == "ReplaceFullPath":
            # The query stays, as the pattern ends before it.
            found["regex_rewrite"] = _regex("^/[^?]*", path["replaceFullPath"])
        else:
            found |= _prefix(prefix, path["replacePrefixMatch"])
    return found


def _prefix(matched: str, replacement: str) -> Json:
    """The matched prefix replaced, by whole elements: /shop to / makes /shop/tea to /tea, not to //tea."""
    matched, replacement = matched.rstrip("/"), replacement.rstrip("/")
    if replacement and matched:
        return {"prefix_rewrite": replacement}
    if replacement:  # from the root
        return {"regex_rewrite": _regex("^/", f"{replacement}/")}
    if not matched:
        return {}
    return {"regex_rewrite": _regex(f"^{re.escape(matched)}/*", "/")}


def _regex(pattern: str, substitution: str) -> Json:
    return {"pattern": {"regex": pattern}, "substitution": substitution.replace("\\", "\\\\")}


def mirror(found: Object, cluster: str) -> Json:
    """A RequestMirror filter: all requests, a percentage or a fraction of them, are copied to `cluster`."""
    asked = found["requestMirror"]
    numerator, denominator = 100, 100
    if "percent" in asked:
        numerator = asked["percent"]
    elif "fraction" in asked:
        numerator, denominator = asked["fraction"]["numerator"], asked["fraction"].get("denominator", 100)
    # Envoy knows hundredths, ten-thousandths and millionths.
    share = {"numerator": round(numerator * 1_000_000 / denominator), "denominator": "MILLION"}
    return {
        "cluster": cluster,
        "runtime_fraction": {"default_value": share},
        "disable_shadow_host_suffix_append": True,  # a copy is a copy: its Host header too
    }


def seconds(duration: str) -> float:
    """A duration of the Gateway API (GEP-2257), such as 1m30s or 500ms, in seconds."""
    parts = re.findall(r"(\d+)(ms|h|m|s)", duration)
    return round(sum(int(number) * _UNIT[unit] for number, unit in parts), 3)
