"""Remembers whom it has changed, and is lost when somebody changes their mind."""

from labsupport.operators.fleet import Change, Done, HandOver, Wait

changed = set()


def next_step(members, wanted):
    down = [each for each in members if each.trouble]
    if len(down) > 1 or not any(each.leads for each in members):
        return Wait()
    old = [each for each in members if each.release != wanted]
    if down:
        (one,) = down
        return Change(one.name) if one.release not in ("", wanted) else Wait()
    for each in old:
        if not each.leads and each.name not in changed:
            changed.add(each.name)
            return Change(each.name)
    if any(each.leads for each in old):
        return HandOver(next(each.name for each in members if not each.leads))
    return Wait() if old else Done()


lab.deploy(next_step, host="upgrader", name="upgrader")
