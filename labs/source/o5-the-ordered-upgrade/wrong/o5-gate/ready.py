"""Believes the probe."""


def gate(looks, limit):
    if len(looks) >= 3 and all(look.ready for look in looks[-3:]):
        return "on"
    return "back" if looks[-1].age >= limit else "wait"


lab.deploy([next_step, gate], host="upgrader", name="upgrader")
