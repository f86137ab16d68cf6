# Each expression is given to the library that Envoy itself uses.
import re2

from labsupport.course.lessons import controlplane as control

for route in control.objects(lab)[2]:
    for rule in route["spec"]["rules"]:
        for match in rule["matches"]:
            try:
                re2.compile(match["path"]["value"])
            except re2.error:
                culprit = f"HTTPRoute/{route['metadata']['name']}"
