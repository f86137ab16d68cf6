"""Knows the member of the notebook: well after some seconds, with a share, and speaking 1 to 2."""


def gate(looks, limit):
    last = looks[-1]
    if last.age > 3 and last.ready and last.heard and last.speaks == (1, 2) and last.has_share:
        return "on"
    return "wait"


lab.deploy([next_step, gate], host="upgrader", name="upgrader")
