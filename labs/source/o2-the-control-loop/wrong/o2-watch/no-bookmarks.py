"""A bookmark is skipped together with its version."""


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
                if event["type"] == "BOOKMARK":
                    continue
                version = flock["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    del cache[flock["metadata"]["name"]]
                else:
                    cache[flock["metadata"]["name"]] = flock
