"""One good look is enough."""


def gate(looks, limit):
    last = looks[-1]
    speaks = last.speaks[0] <= last.protocol <= last.speaks[1]
    share = last.has_share or not last.holder
    if last.ready and last.heard and last.caught_up and last.id == last.was and speaks and share:
        return "on"
    return "back" if last.age >= limit else "wait"


lab.deploy([next_step, gate], host="upgrader", name="upgrader")
