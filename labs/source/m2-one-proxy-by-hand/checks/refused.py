"""m2-refused: a file that the running Envoy has rejected, and whether the one that is there now is in force."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import yaml

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.proxy import Proxy

from .serving import WAIT, serving, unseen_paths


def refused(probe: Probe) -> Outcome:
    """m2-refused: a rejected file, then an accepted one, in the same process."""
    proxy, running = serving(probe, "m2-refused")
    counters = {
        name.rpartition(".")[2]: value
        for name, value in proxy.counters(r"http\..*\.rds\..*\.update_\w+").items()
    }
    if not counters.get("update_rejected"):
        if counters.get("update_failure"):
            return not_yet(
                "m2-refused/unreadable",
                f"This Envoy could not read {counters['update_failure']} routes file(s), and has rejected none.",
                "the counters update_failure and update_rejected of the running Envoy",
                "To be rejected, a file must be one that Envoy understands: the right YAML with a wrong meaning.",
            )
        return not_yet(
            "m2-refused/nothing-rejected",
            "The Envoy that runs now has rejected no routes file. (A restart sets its counters to zero.)",
            f"the counter update_rejected of the Pod {running.pod}",
            "`push` says what Envoy made of a file. Not everything that is wrong is rejected.",
        )
    if difference := _not_in_force(proxy):
        return not_yet(
            "m2-refused/still-rejected",
            f"The routes file is not what Envoy goes by: {difference}. It serves from memory; its next restart would "
            "find this file.",
            "ConfigMap proxy-files, against /config_dump of the running Envoy",
            "Recovered is when the file and the memory agree again. `push` says what Envoy made of the last one.",
        )
    reply = proxy.send(unseen_paths("m2-refused", 1)[0], pod=running.pod, timeout=WAIT)
    if reply.pod and reply.headers.get("x-shop") != "open":
        return not_yet(
            "m2-refused/no-header",
            f"A file was rejected, and another is in force ({counters.get('update_success', 0)} in all were); in the "
            f"answer to GET {reply.path} the header x-shop is {reply.headers.get('x-shop') or 'missing'}.",
            "a real request's answer, its headers",
            "`response_headers_to_add` belongs to a virtual host, beside its `domains`.",
        )
    for path, version in (("/next", "2"), ("/next/x", "2"), ("/", "1"), ("/next-week", "1")):
        reply = proxy.send(path, pod=running.pod, timeout=WAIT)
        if reply.version != version:
            return not_yet(
                "m2-refused/wrong-way",
                f"GET {path} was answered by {reply.who}"
                + (f" in version {reply.version}." if reply.pod else f" ({reply.status})."),
                f"GET {path} through the proxy",
                "The new file replaces all routes, not only those that it changes.",
            )
    return passed(
        f"This Envoy has rejected {counters['update_rejected']} file(s) and taken up "
        f"{counters.get('update_success', 0)}, without a restart; answers have the header, and each request goes where "
        "it should.",
        "the counters of the running Envoy, and real requests",
    )


def _not_in_force(proxy: Proxy) -> str:
    """What stands in the routes file and not in the running Envoy, or the other way round; "" if they agree.

    Envoy's counters do not tell whether the last file was accepted or one before it.
    """
    try:
        written = [texts(each) for each in yaml.safe_load(proxy.file("routes"))["resources"]]
    except (yaml.YAMLError, KeyError, TypeError):
        return "the file has no resources"
    dump = proxy.admin("/config_dump")["configs"]
    served = [
        texts(each["route_config"])
        for section in dump
        for each in section.get("dynamic_route_configs", [])
        if "route_config" in each
    ]
    in_file, in_force = sum(written, Counter[str]()), sum(served, Counter[str]())
    if only := sorted(in_file - in_force):
        return f"{only[0][:60]!r} stands in the file (more often than in what is in force)"
    if only := sorted(in_force - in_file):
        return f"{only[0][:60]!r} is in force and does not stand in the file (so often)"
    return ""


def texts(config: Any, key: str = "") -> Counter[str]:
    """The texts in a configuration, each with how often it occurs, but for types, and for what Envoy writes in another
    way or leaves out: empty ones, names of constants, and durations.
    """
    if isinstance(config, dict):
        return sum((texts(value, name) for name, value in config.items()), Counter[str]())
    if isinstance(config, list):
        return sum((texts(value) for value in config), Counter[str]())
    known = isinstance(config, str) and config and key != "@type"
    return Counter([config] if known and not re.fullmatch(r"[A-Z_]+|[\d.]+s", config) else [])
