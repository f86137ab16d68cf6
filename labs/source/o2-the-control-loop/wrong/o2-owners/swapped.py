"""The reference is in the wrong object: the flock would go with the bell."""

from labsupport import kube

lab.apply("""
apiVersion: v1
kind: ConfigMap
metadata:
  name: bell
""")
bell = kube.get(lab.api, "v1", "ConfigMap", "bell", lab.namespace)
lab.apply(f"""
apiVersion: "{lab.group}/v1"
kind: Flock
metadata:
  name: meadow
  ownerReferences:
    - apiVersion: v1
      kind: ConfigMap
      name: bell
      uid: {bell["metadata"]["uid"]}
spec:
  size: 3
""")
