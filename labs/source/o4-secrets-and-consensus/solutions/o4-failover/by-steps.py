# First who was elected last, by what anybody knows; then whether that one says so itself.
FRESH = 2.0  # seconds


def leads(answers):
    known = {each.term: each.leader for each in answers if each.leader}
    if not known:
        return None
    newest = max(known)
    own = {each.name: each for each in answers}.get(known[newest])
    if own is None or own.age > FRESH or own.role != "leader" or own.term < newest:
        return None
    return own.name if own.reaches >= own.voters // 2 + 1 else None


lab.deploy(leads, host="failover", name="front")
