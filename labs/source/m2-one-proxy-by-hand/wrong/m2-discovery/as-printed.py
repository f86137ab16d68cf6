# The addresses that the notebook printed.
printed = lab.proxy().slices("web")


def assignment(slices):
    found = {
        (endpoint["addresses"][0], 8080)
        for each in printed
        for endpoint in each["endpoints"]
        if endpoint["conditions"]["ready"]
    }
    addresses = [{"socket_address": {"address": ip, "port_value": number}} for ip, number in sorted(found)]
    return {
        "cluster_name": "web",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": each}} for each in addresses]}],
    }


lab.proxy().push(endpoints=assignment(lab.proxy().slices("web")))
