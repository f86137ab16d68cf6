from labsupport.course.lessons import sidecars
from labsupport.mesh.inject import containers
from labsupport.mesh.inject.asked import Asked, Settings

CAPTURE = containers.capture_container(Asked("redirect"), Settings())
PROXY = containers.proxy_container(Asked("redirect"), Settings(), {})
VOLUMES = containers.volumes()
LABEL, OPT_OUT = "mesh.labs.example/proxy", "mesh.labs.example/inject"


def patch(pod):
    pod["spec"]["initContainers"] = [CAPTURE, PROXY, *(pod["spec"].get("initContainers") or [])]
    pod["spec"]["volumes"] = [*(pod["spec"].get("volumes") or []), *VOLUMES]
    pod["metadata"]["labels"] = {**(pod["metadata"].get("labels") or {}), LABEL: "redirect"}


print(lab.deploy(patch, host="admission", name="injector"))
print(sidecars.restart(lab, "ledger", "till"))
