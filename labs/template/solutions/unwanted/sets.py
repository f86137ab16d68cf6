def unwanted(found, wanted):
    return sorted(set(found) - set(wanted))
