"""One rank for each member: whoever has the lowest is next, and whatever is in the way is said first."""

from labsupport.operators.fleet import Change, Done, HandOver, Wait


def rank(member):
    return 0 if member.trouble else 2 if member.leads else 1


def next_step(members, wanted):
    ill = sum(member.trouble != "" for member in members)
    leaders = [member for member in members if member.leads]
    if leaders == [] or ill >= 2:
        return Wait()
    todo = sorted((member for member in members if member.release not in ("", wanted)), key=rank)
    if ill and not (todo and todo[0].trouble):
        return Wait()
    if not todo:
        return Done()
    if todo[0] in leaders:
        return HandOver([member.name for member in members if member not in leaders][-1])
    return Change(todo[0].name)


lab.deploy(next_step, host="upgrader", name="upgrader")
