"""A child in a user namespace of its own with a map of ids that its parent has written. Standard library only.

For what is over at once: the doctor's trial, and removing files of ids that the caller has no power over. A node is
started by keeper.py.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable

from labsupport.cluster.embedded import noderoot
from labsupport.cluster.embedded.idmap import IdMap

WORDS = 1000  # characters that a refusal may have


def run(id_map: IdMap, act: Callable[[Callable[[], None]], int]) -> int:
    """Fork; the exit status of the child, which is what `act` returns there.

    `act` is given a function that it calls when it has made its user namespace: it returns with the ids mapped and the
    child as root among them, or raises OSError. The caller must have no threads, since the child executes nothing new.
    """
    mine, its = socket.socketpair()
    child = os.fork()
    if child == 0:
        mine.close()

        def map_me() -> None:
            if id_map.kind == "single":
                noderoot.write_own_map(id_map)
                return
            its.send(b"m")
            number, text = json.loads(its.recv(4 * WORDS) or '[0, "the parent process has ended"]')
            if text:
                raise OSError(number, text) if number else OSError(text)
            noderoot.become_root()

        code = 1
        try:
            code = act(map_me)
        finally:
            os._exit(code)
    its.close()
    if mine.recv(1):
        mine.send(json.dumps(_write(child, id_map)).encode())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _write(child: int, id_map: IdMap) -> tuple[int, str]:
    try:
        noderoot.write_map_of(child, id_map)
    except OSError as error:
        return error.errno or 0, (error.strerror or str(error))[:WORDS]
    return 0, ""
