"""Builds a new object with the name of the old one, which is another object."""


def convert(site, wanted_version):
    spec = dict(site["spec"])
    if "address" in spec:
        host, colon, port = spec.pop("address").partition(":")
        spec["listen"] = {"host": host, "port": int(port)} if colon else {"host": host}
    metadata = {"name": site["metadata"]["name"], "namespace": site["metadata"]["namespace"]}
    return {"apiVersion": wanted_version, "kind": "Site", "metadata": metadata, "spec": spec}
