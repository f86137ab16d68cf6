# Files from dictionaries; refused for a regular expression that is none.
def routes(first):
    host = {
        "name": "shop",
        "domains": ["*"],
        "routes": [
            {"match": first, "route": {"cluster": "web-next"}},
            {"match": {"path": "/next"}, "route": {"cluster": "web-next"}},
            {"match": {"prefix": "/"}, "route": {"cluster": "web"}},
        ],
        "response_headers_to_add": [{"header": {"key": "X-Shop", "value": "open"}}],
    }
    return {"name": "shop", "virtual_hosts": [host]}


lab.proxy().push(routes=routes({"safe_regex": {"regex": "/next/("}}))
lab.proxy().push(routes=routes({"prefix": "/next/"}))
