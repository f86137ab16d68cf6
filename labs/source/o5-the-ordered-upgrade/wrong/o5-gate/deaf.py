"""Does not ask whether the leader hears it."""


def fine(look):
    speaks = look.speaks[0] <= look.protocol <= look.speaks[1]
    share = look.has_share or not look.holder
    return look.ready and look.caught_up and look.id == look.was and speaks and share


def gate(looks, limit):
    if len(looks) > 2 and all(map(fine, looks[-3:])):
        return "on"
    return "back" if looks[-1].age >= limit else "wait"


lab.deploy([next_step, gate], host="upgrader", name="upgrader")
