# A page of the listener, for a host that no virtual host knows.
import yaml

configuration, deployment, service = yaml.safe_load_all(lab.read("start/proxy.yaml"))
(envoy,) = deployment["spec"]["template"]["spec"]["containers"]
probe = envoy["readinessProbe"]
probe["httpGet"] = {"path": "/", "port": "http"}
lab.apply(yaml.safe_dump_all([configuration, deployment]))
