# A proxy that has its configuration goes on with it; the file is read by those that start from now on.
lab.apply(lab.read("start/proxy.yaml").replace("initial_fetch_timeout: 2s", "initial_fetch_timeout: 0s"))
