# The right question to the wrong end: it ends the process, and after each start it is ready again.
import yaml

configuration, deployment, service = yaml.safe_load_all(lab.read("start/proxy.yaml"))
(envoy,) = deployment["spec"]["template"]["spec"]["containers"]
envoy["livenessProbe"] = {"tcpSocket": {"port": "http"}, "periodSeconds": 5}
lab.apply(yaml.safe_dump_all([configuration, deployment]))
