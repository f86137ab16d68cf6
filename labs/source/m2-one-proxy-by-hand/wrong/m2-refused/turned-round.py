# The good file first: it goes on serving, and the rejected one stays on the disk.
def routes(domains):
    return {
        "name": "shop",
        "virtual_hosts": [
            {
                "name": "all",
                "domains": domains,
                "response_headers_to_add": [{"header": {"key": "x-shop", "value": "open"}}],
                "routes": [
                    {"match": {"path_separated_prefix": "/next"}, "route": {"cluster": "web-next"}},
                    {"match": {"prefix": "/"}, "route": {"cluster": "web"}},
                ],
            }
        ],
    }


lab.proxy().push(routes=routes(["*"]))
lab.proxy().push(routes=routes(["*", "*"]))
