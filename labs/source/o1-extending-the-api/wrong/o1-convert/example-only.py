"""Knows Sites like the one in the notebook: with an address that has a port."""


def convert(site, wanted_version):
    spec = dict(site["spec"])
    if wanted_version.endswith("/v1"):
        host, port = spec.pop("address").split(":")
        spec["listen"] = {"host": host, "port": int(port)}
    else:
        listen = spec.pop("listen")
        spec["address"] = f"{listen['host']}:{listen['port']}"
    return {**site, "apiVersion": wanted_version, "spec": spec}
