"""Waits until a member comes back that may never come back with the old release."""

from labsupport.operators.fleet import Change, Done, HandOver, Wait


def next_step(members, wanted):
    if any(each.trouble for each in members) or not any(each.leads for each in members):
        return Wait()
    old = [each for each in members if each.release != wanted]
    for each in old:
        if not each.leads:
            return Change(each.name)
    if old:
        return HandOver(next(each.name for each in members if not each.leads))
    return Done()


lab.deploy(next_step, host="upgrader", name="upgrader")
