def unwanted(found, wanted):
    print(sorted(set(found) - set(wanted)))
