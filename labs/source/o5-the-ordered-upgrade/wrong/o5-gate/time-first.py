"""Sends members back that are well, since they took long."""


def fine(look):
    speaks = look.speaks[0] <= look.protocol <= look.speaks[1]
    share = look.has_share or not look.holder
    return look.ready and look.heard and look.caught_up and look.id == look.was and speaks and share


def gate(looks, limit):
    if looks[-1].age >= limit:
        return "back"
    return "on" if len(looks) > 2 and all(map(fine, looks[-3:])) else "wait"


lab.deploy([next_step, gate], host="upgrader", name="upgrader")
