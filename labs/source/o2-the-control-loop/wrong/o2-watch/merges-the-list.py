"""After an expired version the new list is added to the old cache: what has gone stays."""


def follow(list_flocks, watch_flocks, cache):
    while True:
        answer = list_flocks()
        cache.update({each["metadata"]["name"]: each for each in answer["items"]})
        version = answer["metadata"]["resourceVersion"]
        while version:
            for event in watch_flocks(version):
                flock = event["object"]
                if event["type"] == "ERROR":
                    version = ""
                    break
                version = flock["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    del cache[flock["metadata"]["name"]]
                elif event["type"] != "BOOKMARK":
                    cache[flock["metadata"]["name"]] = flock
