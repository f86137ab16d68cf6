lab.apply(lab.read("start/proxy.yaml").replace("initial_fetch_timeout: 2s", "initial_fetch_timeout: 0s"))
# The file is read once: the Deployment makes new Pods when its template changes.
lab.apply(
    lab.read("start/proxy.yaml")
    .split("---")[1]
    .replace("labs.example/config: ads", "labs.example/config: patient")
)
