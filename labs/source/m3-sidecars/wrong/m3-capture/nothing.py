def captured(connection):
    return None
