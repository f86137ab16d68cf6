from labsupport.course.lessons import sidecars
from labsupport.mesh.inject import containers
from labsupport.mesh.inject.asked import Asked, Settings

CAPTURE = containers.capture_container(Asked("redirect"), Settings())
PROXY = containers.proxy_container(Asked("redirect"), Settings(), {})
VOLUMES = containers.volumes()
LABEL, OPT_OUT = "mesh.labs.example/proxy", "mesh.labs.example/inject"


def patch(pod):
    annotations = pod["metadata"].get("annotations") or {}
    own = pod["spec"].get("initContainers") or []
    if annotations.get(OPT_OUT) == "false" or pod["spec"].get("hostNetwork"):
        return []
    if any(each["name"] == "mesh-proxy" for each in own):
        return []
    operations = [{"op": "add", "path": "/spec/volumes/-", "value": each} for each in VOLUMES]
    operations += [{"op": "add", "path": "/spec/initContainers", "value": [CAPTURE, PROXY, *own]}]
    labels = {**(pod["metadata"].get("labels") or {}), LABEL: "redirect"}
    return [*operations, {"op": "add", "path": "/metadata/labels", "value": labels}]


print(lab.deploy(patch, host="admission", name="injector"))
print(sidecars.restart(lab, "ledger", "till"))
