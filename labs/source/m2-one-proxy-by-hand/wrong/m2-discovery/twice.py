# A list keeps what a set would not.
def assignment(slices):
    """The ClusterLoadAssignment of the cluster web, from the EndpointSlices of a Service."""
    found = []
    for each in slices:
        for port in each.get("ports") or []:
            if port.get("name") == "http":
                for endpoint in each.get("endpoints") or []:
                    ready = (endpoint.get("conditions") or {}).get("ready")
                    if ready is None or ready:
                        found.append((endpoint["addresses"][0], port["port"]))
    addresses = [{"socket_address": {"address": ip, "port_value": number}} for ip, number in sorted(found)]
    return {
        "cluster_name": "web",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": each}} for each in addresses]}],
    }


lab.proxy().push(endpoints=assignment(lab.proxy().slices("web")))
