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
    return [
        {"op": "add", "path": "/spec/initContainers/0", "value": PROXY},
        {"op": "add", "path": "/spec/initContainers/0", "value": CAPTURE},
        *({"op": "add", "path": "/spec/volumes/-", "value": each} for each in VOLUMES),
        {"op": "add", "path": "/metadata/labels/mesh.labs.example~1proxy", "value": "redirect"},
    ]


print(lab.deploy(patch, host="admission", name="injector"))
print(sidecars.restart(lab, "ledger", "till"))
