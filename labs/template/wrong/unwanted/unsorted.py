def unwanted(found, wanted):
    return [name for name in found if name not in wanted]
