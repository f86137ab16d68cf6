"""One list and one watch, and then it is over."""


def follow(list_flocks, watch_flocks, cache):
    answer = list_flocks()
    for each in answer["items"]:
        cache[each["metadata"]["name"]] = each
