OPEN = (7000, 9000, 15020, 15021, 15090)


def captured(connection):
    if connection["protocol"] != "tcp" or connection["port"] in OPEN:
        return None
    if connection["from"] == "outside":
        return 15006
    own = connection["to"] == connection["pod"]
    if connection["mark"] == 0x539:
        return 15006 if own else None
    if connection["mark"] or own or connection["to"].startswith("127."):
        return None
    return 15001
