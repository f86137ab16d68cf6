"""Raises for every member."""


def gate(looks, limit):
    raise NotImplementedError


lab.deploy([next_step, gate], host="upgrader", name="upgrader")
