"""The same object by the plain Python client, without YAML."""

from kubernetes import client

flock = client.CustomObjectsApi(lab.api).get_namespaced_custom_object(
    lab.group, "v1", lab.namespace, "flocks", "meadow"
)
owner = client.V1OwnerReference(
    api_version=flock["apiVersion"], kind="Flock", name="meadow", uid=flock["metadata"]["uid"]
)
metadata = client.V1ObjectMeta(name="bell", owner_references=[owner])
client.CoreV1Api(lab.api).create_namespaced_config_map(lab.namespace, client.V1ConfigMap(metadata=metadata))
