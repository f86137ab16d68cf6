"""What a StatefulSet does."""

from labsupport.operators.fleet import Change, Done, HandOver, Wait


def next_step(members, wanted):
    if any(each.trouble for each in members):
        return Wait()
    for each in reversed(members):
        if each.release != wanted:
            return Change(each.name)
    return Done()


lab.deploy(next_step, host="upgrader", name="upgrader")
