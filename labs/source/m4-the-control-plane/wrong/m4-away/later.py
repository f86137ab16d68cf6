# Give it time.
import yaml

configuration, deployment, service = yaml.safe_load_all(lab.read("start/proxy.yaml"))
(envoy,) = deployment["spec"]["template"]["spec"]["containers"]
probe = envoy["readinessProbe"]
probe["initialDelaySeconds"] = 10
lab.apply(yaml.safe_dump_all([configuration, deployment]))
