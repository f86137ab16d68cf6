"""A port that stays a text."""


def convert(site, wanted_version):
    spec = dict(site["spec"])
    if "address" in spec:
        host, colon, port = spec.pop("address").partition(":")
        spec["listen"] = {"host": host, "port": port} if colon else {"host": host}
    elif "listen" in spec:
        listen = spec.pop("listen")
        spec["address"] = ":".join(str(listen[key]) for key in ("host", "port") if key in listen)
    return {**site, "apiVersion": wanted_version, "spec": spec}
