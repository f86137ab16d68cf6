"""Sends a Pod's TCP connections through its proxy: rules of nftables in the Pod's own network namespace.

`python3 -m labsupport.mesh.proxy.capture` is run once, by an init container with NET_ADMIN, before all else in the Pod.
The proxy itself needs no such right: it marks its sockets (SO_MARK), and the rules know it by the mark. A user id would
do as well where user ids are real, but in a user namespace that maps a single id all containers have the same one.

Where the proxy is dead, what is redirected is refused: the mesh fails closed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable

from labsupport.mesh import names

TABLE = "labs_mesh"
OWN = (
    names.PROBES,
    names.HEALTH,
    names.METRICS,
)  # asked from outside the Pod by kubelet and Prometheus, without TLS
PORTS = range(1, 65536)

# IPv6 goes nowhere: this mesh speaks IPv4, and what it does not carry must not slip past it. Pods on one bridge reach
# each other by link-local addresses even where the cluster has IPv4 only. Neighbour discovery is ICMPv6 and stays.
RULES = """\
table ip {table} {{}}
delete table ip {table}
table ip {table} {{
  chain out {{
    type nat hook output priority -100; policy accept;
    meta l4proto != tcp return
    meta mark {mark_in:#x} return comment "the proxy, to the application"
    meta mark {mark_out:#x} oifname "lo" ip daddr != 127.0.0.0/8 meta l4proto tcp redirect to :{inbound} \
comment "the proxy, to its own Pod: enters as from any other"
    meta mark {mark_out:#x} return comment "the proxy, to others"
    oifname "lo" return comment "the application, to itself"
{outbound_exceptions}    meta l4proto tcp redirect to :{outbound}
  }}
  chain in {{
    type nat hook prerouting priority -100; policy accept;
    iifname "lo" return
    tcp dport {{ {inbound_exceptions} }} return
    meta l4proto tcp redirect to :{inbound}
  }}
}}
table ip6 {table} {{}}
delete table ip6 {table}
table ip6 {table} {{
  chain out {{
    type filter hook output priority 0; policy accept;
    oifname "lo" accept
    meta l4proto tcp drop
  }}
  chain in {{
    type filter hook input priority 0; policy accept;
    iifname "lo" accept
    meta l4proto tcp drop
  }}
}}
"""


def rules(exclude_inbound: Iterable[int] = (), exclude_outbound: Iterable[int] = ()) -> str:
    """What `nft -f -` is given: all at once or nothing, and with the same result if it is run again.

    Connections to the ports `exclude_inbound` of the Pod, and from it to the ports `exclude_outbound` of others, are
    left alone.
    """
    outbound = sorted(set(exclude_outbound))
    exceptions = f"    tcp dport {{ {_listed(outbound)} }} return\n" if outbound else ""
    return RULES.format(
        table=TABLE,
        mark_in=names.MARK_IN,
        mark_out=names.MARK_OUT,
        inbound=names.INBOUND,
        outbound=names.OUTBOUND,
        inbound_exceptions=_listed(sorted({*OWN, *exclude_inbound})),
        outbound_exceptions=exceptions,
    )


def _listed(ports: Iterable[int]) -> str:
    return ", ".join(map(str, ports))


def ports(text: str) -> list[int]:
    """The ports in `text`, separated by commas; "" has none. Errors: ValueError names what is no port."""
    found = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if not (word.isascii() and word.isdigit() and int(word) in PORTS):
            raise ValueError(f"{word!r} is no port: a number from {PORTS[0]} to {PORTS[-1]}")
        found.append(int(word))
    return found


def main() -> int:
    """Set the rules for this network namespace; the exit status is 0 only if all of them hold."""
    excluded = {}
    for variable in ("MESH_EXCLUDE_INBOUND", "MESH_EXCLUDE_OUTBOUND"):
        try:
            excluded[variable] = ports(os.environ.get(variable, ""))
        except ValueError as error:
            print(f"{variable}: {error}", file=sys.stderr)
            return 1
    text = rules(*excluded.values())
    done = subprocess.run(["nft", "-f", "-"], input=text, text=True)  # says itself what it does not like
    if done.returncode:
        print(
            "The rules were not taken; nothing of them holds, and this Pod must not start.", file=sys.stderr
        )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
