"""One loop, and a version that is empty when a list is due."""


def name_of(flock):
    return flock["metadata"]["name"]


def follow(list_flocks, watch_flocks, cache):
    version = None
    while True:
        if version is None:
            answer = list_flocks()
            fresh = {name_of(each): each for each in answer["items"]}
            for name in set(cache) - set(fresh):
                cache.pop(name)
            cache |= fresh
            version = answer["metadata"]["resourceVersion"]
        for event in watch_flocks(version):
            kind, now = event["type"], event["object"]
            if kind == "ERROR":
                version = None
                break
            if kind in ("ADDED", "MODIFIED"):
                cache[name_of(now)] = now
            elif kind == "DELETED":
                cache.pop(name_of(now), None)
            version = now["metadata"]["resourceVersion"]
