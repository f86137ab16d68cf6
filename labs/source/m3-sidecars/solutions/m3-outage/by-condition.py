others = "!has(object.metadata.labels) || !('labs.example/deployed' in object.metadata.labels)"
condition = f'    matchConditions: [{{name: others, expression: "{others}"}}]'
lab.apply(lab.read("start/simplified.yaml") + condition)
