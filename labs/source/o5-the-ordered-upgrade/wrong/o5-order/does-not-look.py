"""Leader last, but nobody asks whether the others are well."""

from labsupport.operators.fleet import Change, Done, HandOver, Wait


def next_step(members, wanted):
    old = [each for each in members if each.release != wanted]
    if not any(each.leads for each in members):
        return Wait()
    followers = [each for each in old if each.release and not each.leads]
    if followers:
        return Change(followers[0].name)
    if old:
        return HandOver(next(each.name for each in members if not each.leads and not each.trouble))
    return Done()


lab.deploy(next_step, host="upgrader", name="upgrader")
