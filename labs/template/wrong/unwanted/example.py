def unwanted(found, wanted):
    return ["a"]
