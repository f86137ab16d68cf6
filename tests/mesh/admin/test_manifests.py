"""The mesh's manifests say what its code relies on."""

from __future__ import annotations

from typing import Any

from labsupport import kube, paths
from labsupport.cluster.images import read_catalogue
from labsupport.mesh import names

Object = dict[str, Any]
DOCUMENTS = [
    each for path in sorted((paths.CLUSTERS / "manifests/mesh").glob("*.yaml")) for each in kube.load(path)
]


def one(kind: str) -> Object:
    (found,) = [each for each in DOCUMENTS if each["kind"] == kind]
    return found


def test_each_object_says_whose_it_is() -> None:
    for each in DOCUMENTS:
        labels = each["metadata"]["labels"]
        assert labels["labs.example/part-of"] == "course"
        assert labels["mesh.labs.example/part"]


def test_names_are_those_of_the_code() -> None:
    assert one("Deployment")["metadata"]["name"] == one("Service")["metadata"]["name"] == names.CONTROL
    assert one("MutatingWebhookConfiguration")["metadata"]["name"] == names.INJECTOR
    namespaces = {each["metadata"].get("namespace", names.SYSTEM) for each in DOCUMENTS}
    assert namespaces == {names.SYSTEM}
    ports = {port["name"]: port["port"] for port in one("Service")["spec"]["ports"]}
    assert ports == {"grpc-ads": names.ADS, "https": names.HTTPS}
    role = one("ClusterRole")
    by_name = [rule for rule in role["rules"] if "resourceNames" in rule]
    assert [rule["resourceNames"] for rule in by_name] == [[names.TRUST_CONFIGMAP], [names.INJECTOR]]


def test_images_are_in_the_catalogue_and_know_how_to_run() -> None:
    images = read_catalogue().images
    (container,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    control, proxy = images[container["image"]], images[names.PROXY_IMAGE]
    assert control.entrypoint + control.command == ["python3", "-m", "labsupport.mesh", "control"]
    assert proxy.entrypoint == ["python3", "-m", "labsupport.mesh.proxy"]
    assert proxy.programs == {"envoy": "/usr/local/bin/envoy"}
    assert control.user > 0
    assert proxy.user == 0


def test_the_webhook_can_block_no_namespace_outside_the_mesh() -> None:
    (webhook,) = one("MutatingWebhookConfiguration")["webhooks"]
    selector = webhook["namespaceSelector"]
    assert selector["matchLabels"] == {names.INJECT: "true"}
    (never,) = selector["matchExpressions"]
    assert (never["key"], never["operator"]) == ("kubernetes.io/metadata.name", "NotIn")
    assert {names.SYSTEM, "kube-system"} <= set(never["values"])
    assert (webhook["failurePolicy"], webhook["reinvocationPolicy"]) == ("Fail", "Never")
    assert webhook["sideEffects"] == "NoneOnDryRun"
    assert webhook["timeoutSeconds"] <= 5
    assert "caBundle" not in webhook["clientConfig"]


def test_secrets_are_read_in_one_namespace_by_one_name() -> None:
    """Nowhere else, and no rule asks for everything."""
    for each in DOCUMENTS:
        for rule in each.get("rules", []):
            assert "*" not in [*rule["verbs"], *rule["apiGroups"], *rule["resources"]]
            if "secrets" in rule["resources"]:
                assert each["kind"] == "Role"
                assert rule.get("resourceNames") == ["mesh-ca"] or rule["verbs"] == ["create"]


def test_schemas_are_structural_and_described() -> None:
    """Each field of a spec says what it means; the API server checks that schemas are structural when it gets them."""

    def fields(schema: Object, path: str) -> list[str]:
        below = [*schema.get("properties", {}).items()]
        if items := schema.get("items"):
            below.append(("[]", items))
        missing = [
            name for at, child in below for name in fields(child, f"{path}.{at}") if not path.endswith("[]")
        ]
        return missing + ([] if schema.get("description") or path.endswith("[]") else [path])

    for crd in (each for each in DOCUMENTS if each["kind"] == "CustomResourceDefinition"):
        (version,) = crd["spec"]["versions"]
        schema = version["schema"]["openAPIV3Schema"]
        assert schema["description"]
        assert fields(schema["properties"]["spec"], "spec") == []
        assert version["subresources"] == {"status": {}}
