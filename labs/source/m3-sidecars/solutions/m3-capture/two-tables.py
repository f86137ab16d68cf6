IN = {"mark": None, "open": {7000, 15020, 15021, 15090}, "port": 15006}


def over_lo(connection):
    return connection["to"] in ("localhost", connection["pod"]) or connection["to"].split(".")[0] == "127"


RULES = [
    (lambda c: c["protocol"] != "tcp", None),
    (lambda c: c["from"] == "outside" and c["port"] in IN["open"], None),
    (lambda c: c["from"] == "outside", IN["port"]),
    (lambda c: c["mark"] == 1338, None),
    (lambda c: c["mark"] == 1337 and c["to"] == c["pod"], 15006),
    (lambda c: c["mark"] == 1337, None),
    (over_lo, None),
    (lambda c: c["port"] == 9000, None),
]


def captured(connection):
    return next((port for fits, port in RULES if fits(connection)), 15001)
