"""Each watch begins at the list's version: what was told is told again."""


def follow(list_flocks, watch_flocks, cache):
    while True:
        answer = list_flocks()
        cache.clear()
        cache.update({each["metadata"]["name"]: each for each in answer["items"]})
        version = answer["metadata"]["resourceVersion"]
        while version:
            for event in watch_flocks(version):
                flock = event["object"]
                if event["type"] == "ERROR":
                    version = ""
                    break
                if event["type"] == "DELETED":
                    cache.pop(flock["metadata"]["name"], None)
                elif event["type"] != "BOOKMARK":
                    cache[flock["metadata"]["name"]] = flock
