def captured(connection):
    if connection["protocol"] != "tcp":
        return None
    if connection["from"] == "outside":
        return None if connection["port"] in (7000, 15020, 15021, 15090) else 15006
    local = connection["to"].startswith("127.")
    by_lo = local or connection["to"] == connection["pod"]
    if connection["mark"] == 0x539:
        return 15006 if by_lo and not local else None
    return None if by_lo or connection["port"] == 9000 else 15001
