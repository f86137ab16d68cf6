"""A function for each direction; what v1 can say and v1alpha1 cannot is parked as a whole."""

from __future__ import annotations

import json
from typing import Any

Object = dict[str, Any]
EXTRA = "sites.labs.example/v1-only"
KNOWN = {"host", "port"}


def upwards(spec: Object, extra: str | None) -> Object:
    rest = {key: value for key, value in spec.items() if key != "address"}
    if "address" not in spec:
        return rest
    listen: Object = {}
    listen["host"], *port = spec["address"].rsplit(":", 1)
    if port:
        listen["port"] = int(port[0])
    return {**rest, "listen": {**listen, **json.loads(extra or "{}")}}


def downwards(spec: Object) -> tuple[Object, Object]:
    rest = {key: value for key, value in spec.items() if key != "listen"}
    if "listen" not in spec:
        return rest, {}
    listen = spec["listen"]
    address = ":".join(str(listen[key]) for key in ("host", "port") if key in listen)
    return {**rest, "address": address}, {key: listen[key] for key in listen.keys() - KNOWN}


def convert(site: Object, wanted_version: str) -> Object:
    annotations = dict(site["metadata"].get("annotations", {}))
    extra = annotations.pop(EXTRA, None)
    if wanted_version.rsplit("/")[-1] == "v1":
        spec = upwards(site["spec"], extra)
    else:
        spec, parked = downwards(site["spec"])
        if parked:
            annotations[EXTRA] = json.dumps(parked, sort_keys=True)
    metadata = {key: value for key, value in site["metadata"].items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    return {**site, "apiVersion": wanted_version, "metadata": metadata, "spec": spec}


lab.deploy(convert, host="conversion", definition=f"sites.{lab.group}")
