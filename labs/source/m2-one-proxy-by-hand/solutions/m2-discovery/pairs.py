# A dictionary for "once", and one locality for each address.
def ready(endpoint):
    return (endpoint.get("conditions") or {}).get("ready", True) in (True, None)


def assignment(slices):
    sockets = {
        endpoint["addresses"][0]: next(port["port"] for port in each["ports"] if port["name"] == "http")
        for each in slices
        for endpoint in filter(ready, each["endpoints"] or [])
    }
    return {
        "cluster_name": "web",
        "endpoints": [
            {
                "lb_endpoints": [
                    {"endpoint": {"address": {"socket_address": {"address": ip, "port_value": number}}}}
                ]
            }
            for ip, number in sockets.items()
        ],
    }


lab.proxy().push(endpoints=assignment(lab.proxy().slices("web")))
