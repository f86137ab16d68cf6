"""Knows the events that the notebook showed, and what became of them in the end."""


def follow(list_flocks, watch_flocks, cache):
    answer = list_flocks()
    cache.update({each["metadata"]["name"]: each for each in answer["items"]})
    version = answer["metadata"]["resourceVersion"]
    while True:
        for event in watch_flocks(version):
            if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                continue
            flock = event["object"]
            version = flock["metadata"].get("resourceVersion", version)
            if event["type"] in ("ADDED", "MODIFIED"):
                cache[flock["metadata"]["name"]] = flock
            elif flock["metadata"]["name"] == "hill":
                cache.pop("hill", None)
