# No DNS: the address of the Service itself, looked up where Kubernetes keeps it; as JSON, which is YAML too.
import json

import yaml

from labsupport import kube

service = kube.get(lab.api, "v1", "Service", "web", lab.namespace)
stored = kube.get(lab.api, "v1", "ConfigMap", "proxy", lab.namespace)
config = yaml.safe_load(stored["data"]["envoy.yaml"])
resources = config["static_resources"]
manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
manager["route_config"]["virtual_hosts"][0]["routes"] = [
    {"match": {"prefix": ""}, "route": {"cluster": "shop"}}
]
address = {"address": service["spec"]["clusterIP"], "port_value": service["spec"]["ports"][0]["port"]}
endpoint = {"endpoint": {"address": {"socket_address": address}}}
resources["clusters"] = [
    {"name": "shop", "load_assignment": {"cluster_name": "shop", "endpoints": [{"lb_endpoints": [endpoint]}]}}
]
lab.proxy().configure(json.dumps(config))
