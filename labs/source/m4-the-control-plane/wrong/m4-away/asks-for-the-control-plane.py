# Ready is who can reach the control plane.
import yaml

configuration, deployment, service = yaml.safe_load_all(lab.read("start/proxy.yaml"))
(envoy,) = deployment["spec"]["template"]["spec"]["containers"]
probe = envoy["readinessProbe"]
del probe["httpGet"]
probe["exec"] = {"command": ["timeout", "0.8", "bash", "-c", "</dev/tcp/snapshot/18000"]}
lab.apply(yaml.safe_dump_all([configuration, deployment]))
