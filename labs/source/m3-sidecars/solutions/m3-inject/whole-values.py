from labsupport.course.lessons import sidecars
from labsupport.mesh.inject import containers
from labsupport.mesh.inject.asked import Asked, Settings

ASKED = Asked("redirect")
CAPTURE = containers.capture_container(ASKED, Settings())
PROXY = containers.proxy_container(ASKED, Settings(), {})
VOLUMES = containers.volumes()
LABEL, OPT_OUT = "mesh.labs.example/proxy", "mesh.labs.example/inject"


def left_alone(pod):
    if pod["metadata"].get("annotations", {}).get(OPT_OUT) == "false":
        return True
    names = [each["name"] for each in pod["spec"].get("initContainers", [])]
    return "mesh-proxy" in names or pod["spec"].get("hostNetwork", False)


def patch(pod):
    if left_alone(pod):
        return []
    metadata, spec = pod["metadata"], pod["spec"]
    wanted = {
        "/spec/initContainers": [CAPTURE, PROXY, *spec.get("initContainers", [])],
        "/spec/volumes": [*spec.get("volumes", []), *VOLUMES],
        "/metadata/labels": {**metadata.get("labels", {}), LABEL: "redirect"},
    }
    return [{"op": "add", "path": path, "value": value} for path, value in wanted.items()]


print(lab.deploy(patch, host="admission", name="injector"))
print(sidecars.restart(lab, "ledger", "till"))
