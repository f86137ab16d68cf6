"""Drops what v1alpha1 cannot say."""


def convert(site, wanted_version):
    spec = dict(site["spec"])
    if "address" in spec:
        host, colon, port = spec.pop("address").partition(":")
        spec["listen"] = {"host": host, "port": int(port)} if colon else {"host": host}
    elif "listen" in spec:
        listen = spec.pop("listen")
        spec["address"] = listen["host"] + (f":{listen['port']}" if "port" in listen else "")
    return {**site, "apiVersion": wanted_version, "spec": spec}
