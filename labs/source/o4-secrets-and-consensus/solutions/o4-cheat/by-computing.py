# Both sides of the check for each complaint.
import json

from labsupport import kube
from labsupport.quorum.keys.group import IDENTITY, ONE, Point, Scalar, base

minutes = kube.get(lab.api, "v1", "ConfigMap", "minutes", lab.namespace)["data"]
commitments = json.loads(minutes["commitments.json"])
cheats = {}
for complaint in json.loads(minutes["complaints.json"]):
    power, promise = ONE, IDENTITY
    for point in commitments[str(complaint["about"])]:
        promise = promise + Point.decode(bytes.fromhex(point)) * power
        power = power * Scalar.of(complaint["by"])
    if base(Scalar.decode(bytes.fromhex(complaint["opened"]))) == promise:
        cheats[complaint["by"]] = "false complaint"
    else:
        cheats[complaint["about"]] = "wrong share"
