"""Find out, by trying, whether this machine can run a cluster.

`probes` and `trial` gather facts, `judge` turns them into checks (pure functions), `check` is the record that comes
out. Nothing on the machine is changed.
"""

from __future__ import annotations

from labsupport.cluster.doctor.check import Check, as_dict, describe, healthy

__all__ = ["Check", "as_dict", "describe", "examine", "healthy"]


def examine(name: str = "labs", backend: str | None = None) -> tuple[Check, ...]:
    """Look at this machine, within about a second (3 where releases do not answer), and judge what was found.

    `backend`: which one is to run here; None: that of the cluster `name`, else the embedded one.
    """
    # Late, so that reading a Check costs nothing.
    from labsupport.cluster import versions
    from labsupport.cluster.directory import ClusterDirectory
    from labsupport.cluster.doctor import judge, probes

    record = ClusterDirectory(name).read_record()
    wanted = backend or record.get("backend") or "embedded"
    go = versions.load().go
    oldest = tuple(int(part) for part in go.minimum.split("."))
    facts = probes.look(name, wanted)
    if wanted == "kind":
        from labsupport.cluster.doctor import engine

        return engine.judge(facts, engine.look(name), name=name, go_oldest=oldest, minutes=go.cold_minutes)
    nodes = int(record.get("nodes", 1))
    return judge.judge(
        facts, name=name, nodes=nodes, build_gb=go.space_gb, go_oldest=oldest, minutes=go.cold_minutes
    )
