OPEN = {7000, 15020, 15021, 15090}


def over_lo(connection):
    return connection["to"] == connection["pod"] or connection["to"].split(".")[0] == "127"


RULES = [
    (lambda c: c["protocol"] != "tcp", None),
    (lambda c: c["from"] == "outside" and c["port"] in OPEN, None),
    (lambda c: c["from"] == "outside", 15006),
    (lambda c: c["mark"] == 1338, None),
    (lambda c: c["mark"] == 1337 and c["to"] == c["pod"], 15006),
    (lambda c: c["mark"] == 1337, None),
    (over_lo, None),
    (lambda c: c["port"] == 9000, None),
]


def captured(connection):
    return next((port for fits, port in RULES if fits(connection)), 15001)
