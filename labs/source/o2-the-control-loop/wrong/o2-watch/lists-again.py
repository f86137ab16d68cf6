"""Right, and expensive: each broken connection costs the server a whole list."""


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
                version = flock["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    del cache[flock["metadata"]["name"]]
                elif event["type"] != "BOOKMARK":
                    cache[flock["metadata"]["name"]] = flock
            version = ""
