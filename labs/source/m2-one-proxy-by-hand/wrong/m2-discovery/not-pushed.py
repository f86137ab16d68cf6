# The function is right, and Envoy has not heard of it.
def assignment(slices):
    """The ClusterLoadAssignment of the cluster web, from the EndpointSlices of a Service."""
    found = set()
    for each in slices:
        for port in each.get("ports") or []:
            if port.get("name") == "http":
                for endpoint in each.get("endpoints") or []:
                    ready = (endpoint.get("conditions") or {}).get("ready")
                    if ready is None or ready:
                        found.add((endpoint["addresses"][0], port["port"]))
    addresses = [{"socket_address": {"address": ip, "port_value": number}} for ip, number in sorted(found)]
    return {
        "cluster_name": "web",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": each}} for each in addresses]}],
    }
