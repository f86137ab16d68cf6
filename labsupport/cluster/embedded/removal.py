"""Removing a cluster from the disk, also what belongs to subordinate ids, over which its owner has no power outside.

As a program (`python -m labsupport.cluster.embedded.removal MAP PATH...`) this module removes the paths as the root of
a user namespace with the map of ids MAP (JSON), which ends with it; without a path it tries the map.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from labsupport.cluster import process
from labsupport.cluster.directory import ClusterDirectory, remove_tree
from labsupport.cluster.embedded import linux, mapped, subids
from labsupport.cluster.embedded.idmap import IdMap
from labsupport.errors import LabsError

# Below a cluster's directory: what its containers could write to. The rest, with the record of the map, goes last, so
# that a removal that was cut short can be gone on with.
OF_THE_NODES = ("node", "workers")


def recorded_map(directory: ClusterDirectory) -> IdMap | None:
    """The map that a cluster was started with last; None where it was never started."""
    try:
        return IdMap(**json.loads((directory.root / "launch.json").read_text())["idmap"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def run_mapped(id_map: IdMap, paths: Sequence[Path] = ()) -> None:
    """Remove the paths as the root of a user namespace with this map; without any, only try the map.

    Raises OSError with the reason: newuidmap's words, or what could not be removed.
    """
    words = (json.dumps(asdict(id_map)), *map(str, paths))
    done = process.run([sys.executable, "-m", "labsupport.cluster.embedded.removal", *words])
    if not done.ok:
        raise OSError(done.reason(1))


def remove(directory: ClusterDirectory) -> None:
    """Remove a cluster that has ended, with everything in it; to be called again where it was interrupted.

    Raises LabsError where files of subordinate ids stay since those ids cannot be had any more.
    """
    with suppress(OSError):  # a full disk is no reason to keep it
        if directory.record.exists():
            directory.update_record(removing=True)
    parts = [directory.root / name for name in OF_THE_NODES]
    try:
        for part in parts:
            remove_tree(part)
    except PermissionError:
        id_map = recorded_map(directory)
        if id_map is None or id_map.kind != "subordinate":
            raise
        try:
            run_mapped(id_map, parts)
        except OSError as why:
            raise _not_removed(directory, id_map, why) from why
    directory.remove()


def _not_removed(directory: ClusterDirectory, id_map: IdMap, why: OSError) -> LabsError:
    last = id_map.sub_uid + subids.COUNT - 1
    fix = subids.of_this_user().fix
    option = "" if directory.name == "labs" else f" --name {directory.name}"
    return LabsError(
        f"The cluster has ended, and files of its users (your ids {id_map.sub_uid} to {last}) stay: only who may use "
        f"these ids can remove them, and now you may not: {why}",
        fix=f"{f'`{fix}`' if fix else f'`labs doctor{option}` says what can be done'}, then `labs down{option}` again; "
        f"or `sudo rm -r {directory.root}`",
        anchor="ids",
    )


def main(words: Sequence[str]) -> int:
    """Do what the module's first lines say."""
    id_map, paths = IdMap(**json.loads(words[0])), [Path(word) for word in words[1:]]

    def act(map_me: Callable[[], None]) -> int:
        try:
            linux.unshare(linux.CLONE_NEWUSER)
            map_me()
            # After the change of ids, which clears it: nothing goes on removing when the command that asked has ended.
            linux.die_with_parent(signal.SIGKILL)
            for path in paths:
                remove_tree(path)
        except OSError as error:
            sys.stderr.write(f"{error}\n")
            sys.stderr.flush()
            return 1
        return 0

    linux.die_with_parent(signal.SIGKILL)
    return mapped.run(id_map, act)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
