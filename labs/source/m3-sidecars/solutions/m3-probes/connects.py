import re

lab.apply(lab.read("start/strict.yaml"))
from_inside = 'exec: {command: [nc, -z, 127.0.0.1, "8080"]}'
lab.apply(re.sub("(httpGet|tcpSocket): .*", from_inside, lab.read("start/probes.yaml")))
