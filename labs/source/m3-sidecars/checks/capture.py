"""m3-capture: what the learner's function says of connections, held against the rules, and against the kernel."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons import sidecars
from labsupport.course.lessons.sidecars import Connection, connection
from labsupport.errors import LabsError
from labsupport.mesh import names

LOOPBACK = "127.0.0.1"
OPEN_IN, OPEN_OUT = 7000, 9000  # the ports that box is told to leave alone (start/capture.yaml)
LOOK = {
    "loop": "Follow such a connection once more round: who would make the next one, and where would that end?",
    "hairpin": "A Pod may be behind the Service that it calls. Which rule of `out` is about that, and who may pass it?",
    "itself": "Two interfaces lead to a Pod's own addresses, and one of them is `lo`. Not only 127.0.0.1 is behind it.",
    "from-proxy": "The proxy has two sides, and two marks. What does `out` say of each, and for which addresses?",
    "protocol": "The first rule of `out`, and the last one of both chains: which protocols do they name?",
    "own-ports": "Who asks at these ports from outside, and what could it not do if the proxy took the connection?",
    "excluded": "Two ports are named in the manifest of box. Each of them holds for one direction only.",
    "outbound": "The last rule of `out` is about all that the rules before it have not returned.",
    "inbound": "The last rule of `in` is about all that the rules before it have not returned.",
}


def decided(each: Connection) -> int | None:
    """What the rules of labsupport/mesh/proxy/capture.py make of a connection, for the Pod box."""
    if each["protocol"] != "tcp":
        return None
    if each["from"] == "outside":
        free = {names.PROBES, names.HEALTH, names.METRICS, OPEN_IN}
        return None if each["port"] in free else names.INBOUND
    loopback = each["to"].startswith("127.")
    own = loopback or each["to"] == each["pod"]
    if each["mark"] == names.MARK_OUT and own and not loopback:
        return names.INBOUND
    if each["mark"] in (names.MARK_IN, names.MARK_OUT) or own or each["port"] == OPEN_OUT:
        return None
    return names.OUTBOUND


def cases(
    pod: str, others: Sequence[str], seed: str, ports: Sequence[int]
) -> Iterator[tuple[str, Connection]]:
    """Connections, each with the finding that a wrong word about it is; all kinds, in an order of their own."""
    chosen = random.Random(seed)

    def other() -> str:
        return chosen.choice(others)

    def port() -> int:
        return chosen.choice(ports)

    found = []
    for _ in range(3):
        found += [
            ("outbound", connection(pod, "inside", other(), port())),
            ("outbound", connection(pod, "inside", other(), OPEN_IN)),
            ("inbound", connection(pod, "outside", pod, port())),
            ("inbound", connection(pod, "outside", pod, names.OUTBOUND)),
            ("inbound", connection(pod, "outside", pod, OPEN_OUT)),
            ("itself", connection(pod, "inside", LOOPBACK, port())),
            ("itself", connection(pod, "inside", pod, port())),
            ("loop", connection(pod, "inside", other(), port(), mark=names.MARK_OUT)),
            ("hairpin", connection(pod, "inside", pod, port(), mark=names.MARK_OUT)),
            ("from-proxy", connection(pod, "inside", LOOPBACK, port(), mark=names.MARK_OUT)),
            ("from-proxy", connection(pod, "inside", pod, port(), mark=names.MARK_IN)),
            ("from-proxy", connection(pod, "inside", other(), port(), mark=names.MARK_IN)),
            ("own-ports", connection(pod, "outside", pod, names.PROBES)),
            ("own-ports", connection(pod, "outside", pod, names.HEALTH)),
            ("own-ports", connection(pod, "outside", pod, names.METRICS)),
            ("excluded", connection(pod, "outside", pod, OPEN_IN)),
            ("excluded", connection(pod, "inside", other(), OPEN_OUT)),
            ("protocol", connection(pod, "inside", other(), port(), protocol="udp")),
            ("protocol", connection(pod, "outside", pod, port(), protocol="udp")),
        ]
    # A finding of its own comes before one that follows from it: who forgets a mark also gets others wrong.
    return iter(sorted(found, key=lambda case: list(LOOK).index(case[0])))


def capture_offline(probe: Probe) -> Outcome:
    """m3-capture, without a cluster: connections that the notebook does not show."""
    count = 0
    others = ["10.96.0.10", "10.244.3.9", "192.0.2.7"]
    with probe.function("captured", parameters=1) as call:
        for finding, each in cases("10.244.3.8", others, "m3-capture", [80, 443, 5432, 8080, 15001, 15020]):
            if each["from"] == "outside" and each["port"] == names.PROBES and finding == "inbound":
                continue
            count += 1
            _judge(
                call(each, about=sidecars.told(each)), each, finding, decided(each), "the rules of capture"
            )
    return passed(f"`captured` says of {count} connections what the rules say.", "what captured returns")


def _judge(said: Any, each: Connection, finding: str, wanted: int | None, decided_by: str) -> None:
    """Errors: Rejected where the function says something else than `wanted`."""
    if said is not None and (isinstance(said, bool) or said not in (names.OUTBOUND, names.INBOUND)):
        raise Rejected(
            not_yet(
                "m3-capture/no-answer",
                f"Of {sidecars.told(each)}, `captured` says {said!r}.",
                "what captured returns",
                "It is to return one of the proxy's two ports for connections, as a number, or None.",
            )
        )
    if said == wanted:
        return
    words = {None: "where it was going", names.OUTBOUND: "at port 15001", names.INBOUND: "at port 15006"}
    raise Rejected(
        not_yet(
            f"m3-capture/{finding}",
            f"{sidecars.told(each)}: `captured` says that it comes out {words[said]}, and it does not.",
            decided_by,
            LOOK[finding],
        )
    )


def capture_live(probe: Probe) -> Outcome:
    """m3-capture, on the cluster: the same kinds of connections are made by the Pods box and peer."""
    try:
        at = sidecars.box(probe.world)
    except LabsError as error:
        return not_yet(
            "m3-capture/no-box",
            error.what,
            f"the Pods box and peer in {probe.namespace}",
            'Apply `start/capture.yaml` again, or `lab.start("m3", at="m3-capture")`.',
        )
    made = list(cases(at["box"], [at["peer"]], "m3-capture live", [6000, 8080]))
    came_out = sidecars.kernel(probe.world, [each for _, each in made])
    with probe.function("captured", parameters=1) as call:
        for (finding, each), where in zip(made, came_out, strict=True):
            _judge(
                call(each, about=sidecars.told(each)),
                each,
                finding,
                where,
                "a real connection of the Pod box",
            )
    at_proxy = sum(port is not None for port in came_out)
    return passed(
        f"Of {len(made)} real connections, {at_proxy} came out at the proxy and {len(made) - at_proxy} where they were "
        "going, each as `captured` says.",
        "connections made by the Pods box and peer",
    )
