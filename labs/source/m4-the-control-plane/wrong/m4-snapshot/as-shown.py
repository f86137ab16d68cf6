# The two Services and the one route that there are now.
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


def snapshot(services, slices, routes):
    return {
        "listeners": [listener("shop")],
        "clusters": [cluster("web/80"), cluster("web-next/80")],
        "endpoints": [
            {
                "cluster_name": f"{name}/80",
                "endpoints": [
                    {
                        "lb_endpoints": [
                            endpoint(one["addresses"][0], 8080)
                            for each in slices
                            if each["metadata"]["labels"]["kubernetes.io/service-name"] == name
                            for one in each["endpoints"] or []
                        ]
                    }
                ],
            }
            for name in ("web", "web-next")
        ],
        "routes": [
            {
                "name": "shop",
                "virtual_hosts": [
                    {
                        "name": "web",
                        "domains": ["web", "web:80"],
                        "routes": [
                            {
                                "match": {"path_separated_prefix": "/next"},
                                "route": {"cluster": "web-next/80"},
                            },
                            {"match": {"prefix": "/"}, "route": {"cluster": "web/80"}},
                        ],
                    }
                ],
            }
        ],
    }


lab.deploy(snapshot, host="snapshot")
