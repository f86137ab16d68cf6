"""Parks the whole v1 spec where there are aliases, and believes it later: what was changed in between is lost."""

import copy
import json

PARKED = "labs.example/v1-spec"


def convert(site, wanted_version):
    site = copy.deepcopy(site)
    site["apiVersion"] = wanted_version
    metadata, spec = site["metadata"], site["spec"]
    if wanted_version.endswith("/v1"):
        parked = metadata.get("annotations", {}).pop(PARKED, None)
        if parked is not None:
            site["spec"] = json.loads(parked)
            if not metadata["annotations"]:
                del metadata["annotations"]
        elif "address" in spec:
            host, colon, port = spec.pop("address").partition(":")
            spec["listen"] = {"host": host, "port": int(port)} if colon else {"host": host}
    elif "listen" in spec:
        if "aliases" in spec["listen"]:
            metadata.setdefault("annotations", {})[PARKED] = json.dumps(spec)
        listen = spec.pop("listen")
        spec["address"] = listen["host"] + (f":{listen['port']}" if "port" in listen else "")
    return site
