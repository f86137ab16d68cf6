"""Has it behind itself soon: the leader first."""

from labsupport.operators.fleet import Change, Done, HandOver, Wait


def next_step(members, wanted):
    down = [each for each in members if each.trouble]
    old = [each for each in members if each.release != wanted]
    if len(down) > 1 or not any(each.leads for each in members):
        return Wait()
    if down:
        (one,) = down
        return Change(one.name) if one.release not in ("", wanted) else Wait()
    if any(each.leads for each in old):
        return HandOver(next(each.name for each in members if not each.leads))
    return Change(old[0].name) if old else Done()


lab.deploy(next_step, host="upgrader", name="upgrader")
