# A prefix goes by characters here, so that /next takes /nextdoor too.
ADS = {"ads": {}, "resource_api_version": "V3"}  # "ask where you asked for me"
FILTERS = "type.googleapis.com/envoy.extensions.filters"


def listener(name):
    """A listener on port 10000 that speaks HTTP and asks for the route configuration of its own name."""
    router = {"@type": f"{FILTERS}.http.router.v3.Router"}
    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "rds": {"route_config_name": name, "config_source": ADS},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    address = {"socket_address": {"address": "0.0.0.0", "port_value": 10000}}
    return {"name": name, "address": address, "filter_chains": [chain]}


def cluster(name):
    """A cluster that asks for its endpoints, under its own name."""
    return {"name": name, "type": "EDS", "eds_cluster_config": {"eds_config": ADS}, "connect_timeout": "1s"}


def endpoint(address, port):
    """One endpoint of an assignment."""
    return {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}


def name_of(thing):
    """The name of an object."""
    return thing["metadata"]["name"]


def assignment(slices, service, port):
    """The endpoints of a port of a Service."""
    found = set()
    for each in slices:
        if each["metadata"]["labels"].get("kubernetes.io/service-name") != name_of(service):
            continue
        for own in each.get("ports") or []:
            if (own.get("name") or "") == port.get("name", ""):
                for one in each.get("endpoints") or []:
                    if (one.get("conditions") or {}).get("ready") is not False:
                        found.add((one["addresses"][0], own["port"]))
    return {
        "cluster_name": f"{name_of(service)}/{port['port']}",
        "endpoints": [{"lb_endpoints": [endpoint(*each) for each in sorted(found)]}],
    }


# In the order in which Envoy is to ask.
SPECIAL = ("path", "path_separated_prefix", "safe_regex", "prefix")


def condition(match):
    """How special a match is (smaller is asked first), and the match in Envoy's words."""
    path = match.get("path") or {}
    kind, value = path.get("type"), path.get("value", "/")
    headers = [
        {"name": each["name"], "string_match": {"exact": each["value"]}}
        for each in match.get("headers") or []
    ]
    if kind == "Exact":
        word, what = "path", value
    elif kind == "RegularExpression":
        word, what = "safe_regex", {"regex": value}
    else:
        value = value.rstrip("/") or "/"
        word, what = "prefix", value
    return (SPECIAL.index(word), -len(value), -len(headers)), {word: what, "headers": headers}


def action(rule, known):
    """Where the requests of a rule go."""
    weights = {}
    for each in rule.get("backendRefs") or []:
        name, weight = f"{each['name']}/{each.get('port')}", each.get("weight", 1)
        if name in known and weight > 0:
            weights[name] = weights.get(name, 0) + weight
    if not weights:
        return {"direct_response": {"status": 500}}
    shares = [{"name": name, "weight": weight} for name, weight in sorted(weights.items())]
    return {"route": {"weighted_clusters": {"clusters": shares}}}


def virtual_host(service, port, routes, known):
    """What becomes of the requests for a port of a Service."""
    name = name_of(service)
    own = f"{name}/{port['port']}"
    attached = [
        each
        for each in sorted(routes, key=name_of)
        if any(ref.get("kind") == "Service" and ref["name"] == name for ref in each["spec"]["parentRefs"])
    ]
    found = []
    for each in attached:
        for rule in each["spec"].get("rules") or []:
            for match in rule.get("matches") or [{}]:
                order, words = condition(match)
                found.append((order, {"match": words, **action(rule, known)}))
    found.sort(key=lambda each: each[0])
    if not attached:
        found = [((), {"match": {"prefix": "/"}, "route": {"cluster": own}})]
    domains = [f"{name}:{port['port']}"] + ([name] if port["port"] == 80 else [])
    return {"name": own, "domains": domains, "routes": [each for _, each in found]}


def snapshot(services, slices, routes):
    """The configuration of a proxy."""
    ports = [
        (service, port)
        for service in sorted(services, key=name_of)
        for port in service["spec"].get("ports") or []
    ]
    known = {f"{name_of(service)}/{port['port']}" for service, port in ports}
    hosts = [virtual_host(service, port, routes, known) for service, port in ports]
    return {
        "listeners": [listener("shop")],
        "clusters": [cluster(name) for name in sorted(known)],
        "endpoints": [assignment(slices, service, port) for service, port in ports],
        "routes": [{"name": "shop", "virtual_hosts": hosts}],
    }


lab.deploy(snapshot, host="snapshot")
