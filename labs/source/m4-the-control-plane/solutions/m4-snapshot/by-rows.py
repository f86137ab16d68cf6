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


def rows(services):
    """Each port of each Service: its cluster's name, the Service, the port; by name."""
    found = {}
    for service in services:
        for port in service["spec"].get("ports") or ():
            found[f"{name_of(service)}/{port['port']}"] = (name_of(service), port)
    return sorted(found.items())


def addresses(slices):
    """(Service, name of the port) -> the addresses with their ports that may be asked."""
    found = {}
    for each in slices:
        service = each["metadata"]["labels"].get("kubernetes.io/service-name")
        usable = [
            one["addresses"][0]
            for one in each.get("endpoints") or ()
            if (one.get("conditions") or {}).get("ready") in (True, None)
        ]
        for port in each.get("ports") or ():
            found.setdefault((service, port.get("name") or ""), set()).update(
                (ip, port["port"]) for ip in usable
            )
    return found


def questions(routes):
    """Service -> drawers, in the order in which they are opened, with the rules of all its routes.

    A rule lies there with how special it is in its drawer, where it stands, and its match in Envoy's words.
    """
    found = {}
    for route in routes:
        for parent in route["spec"]["parentRefs"]:
            if parent.get("kind") != "Service":
                continue
            drawers = found.setdefault(
                parent["name"], {"path": [], "path_separated_prefix": [], "safe_regex": [], "prefix": []}
            )
            for at, rule in enumerate(route["spec"].get("rules") or ()):
                for match in rule.get("matches") or ({},):
                    path = match.get("path") or {"type": "PathPrefix", "value": "/"}
                    text, headers = path["value"], match.get("headers") or ()
                    if path["type"] == "PathPrefix":
                        bare = text.rstrip("/")
                        words = {"path_separated_prefix": bare} if bare else {"prefix": text}
                    else:
                        words = {"path": text} if path["type"] == "Exact" else {"safe_regex": {"regex": text}}
                    (drawer,) = words
                    words["headers"] = [
                        {"name": one["name"], "string_match": {"exact": one["value"]}} for one in headers
                    ]
                    drawers[drawer].append((-len(text), -len(headers), name_of(route), at, words, rule))
    return found


def action(rule, names):
    """Where the requests of a rule go, as part of an entry."""
    shares = [
        {"name": to, "weight": weight}
        for backend in rule.get("backendRefs") or ()
        for to, weight in [(f"{backend['name']}/{backend.get('port')}", backend.get("weight", 1))]
        if to in names and weight
    ]
    if shares:
        return {"route": {"weighted_clusters": {"clusters": shares}}}
    return {"direct_response": {"status": 500}}


def snapshot(services, slices, routes):
    """Tables first, then one line of each for each port."""
    ports, behind, asked = rows(services), addresses(slices), questions(routes)
    names = [name for name, _ in ports]
    hosts = []
    for name, (service, port) in ports:
        if service not in asked:
            entries = [{"match": {"prefix": "/"}, "route": {"cluster": name}}]
        else:
            entries = []
            for drawer in asked[service].values():
                for *_, words, rule in sorted(drawer, key=lambda each: each[:4]):
                    entries.append({"match": words, **action(rule, names)})
        domains = [f"{service}:{port['port']}"]
        if port["port"] == 80:
            domains.append(service)
        hosts.append({"name": name, "domains": domains, "routes": entries})
    return {
        "listeners": [listener("shop")],
        "clusters": [cluster(name) for name in names],
        "endpoints": [
            {
                "cluster_name": name,
                "endpoints": [
                    {
                        "lb_endpoints": [
                            endpoint(ip, to)
                            for ip, to in sorted(behind.get((service, port.get("name", "")), ()))
                        ]
                    }
                ],
            }
            for name, (service, port) in ports
        ],
        "routes": [{"name": "shop", "virtual_hosts": hosts}],
    }


lab.deploy(snapshot, host="snapshot")
