def captured(connection):
    if connection["from"] == "outside":
        return None if connection["port"] == 15021 else 15006
    if connection["mark"] == 0x539 or connection["to"] == "127.0.0.1":
        return None
    return 15001
