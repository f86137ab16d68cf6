# Prints what it should return.
def assignment(slices):
    print(slices)


lab.proxy().push(endpoints=assignment(lab.proxy().slices("web")))
