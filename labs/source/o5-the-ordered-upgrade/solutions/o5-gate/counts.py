"""Counts how long it has been well, from the newest look backwards."""


def ills(look):
    yield not look.ready
    yield look.id != look.was
    yield not look.heard
    yield not look.caught_up
    yield look.protocol not in range(look.speaks[0], look.speaks[1] + 1)
    yield look.holder and not look.has_share


def gate(looks, limit):
    steady = 0
    for look in reversed(looks):
        if any(ills(look)):
            break
        steady += 1
    if steady >= 3:
        return "on"
    if looks[-1].age < limit:
        return "wait"
    return "back"


lab.deploy([next_step, gate], host="upgrader", name="upgrader")
