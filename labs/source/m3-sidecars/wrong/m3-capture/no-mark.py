def captured(connection):
    if connection["protocol"] != "tcp":
        return None
    if connection["from"] == "outside":
        return None if connection["port"] in (7000, 15020, 15021, 15090) else 15006
    by_lo = connection["to"].startswith("127.") or connection["to"] == connection["pod"]
    return None if by_lo or connection["port"] == 9000 else 15001
