"""Every name and number that two parts of the operator, its manifests or the members must agree on."""

from __future__ import annotations

from labsupport.quorum import configuration

GROUP = "quorum.labs.example"
VERSION, OLD_VERSION = "v1", "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"
SYSTEM = "labs-system"
OPERATOR = "quorum-operator"  # its Deployment, ServiceAccount, Lease and field manager
CONVERSION = "quorum-conversion"  # the webhook's Deployment, Service, ServiceAccount and Secret
AUTHORITY = "quorum-ca"  # the Secret in SYSTEM with the members' certificate authority
SIGNER = configuration.SIGNER
MEMBER_ROLE = "quorum-member"  # the ClusterRole that each Quorum's members are bound to
DOMAIN = "cluster.local"

PEERS, HTTP = configuration.PEER_PORT, configuration.API_PORT
OBSERVE = 7480  # port of the operator's metrics and probes
LARGEST = 7  # members

PART_OF = {"labs.example/part-of": "course"}
QUORUM = f"{GROUP}/quorum"  # label: of which Quorum something is
RELEASE = f"{GROUP}/release"  # label of a Pod: which release it was made for
APPLIED = f"{GROUP}/applied"  # annotation: digest of what was applied
RETRY = f"{GROUP}/retry"  # annotation of a Quorum: another value has what failed tried once more
UPGRADED_BY = (
    f"{GROUP}/upgraded-by"  # annotation of a Quorum: the program that makes its upgrades instead of ours
)
PROTOCOL = (
    f"{GROUP}/protocol"  # annotation of a Quorum: "hold" leaves the protocol, and so the way back, as it is
)
FINALIZER = f"{GROUP}/operator"


def pod(quorum: str, ordinal: int) -> str:
    """The Pod, and so the member, of an ordinal."""
    return f"{quorum}-{ordinal}"


def ordinal(quorum: str, name: str) -> int:
    """The ordinal of a Pod or claim of a Quorum; -1 for a name that is none of its."""
    tail = name.removeprefix(f"{quorum}-")
    return int(tail) if tail != name and tail.isascii() and tail.isdigit() else -1


def claim(quorum: str, number: int) -> str:
    """The claim that the StatefulSet makes for an ordinal."""
    return f"data-{quorum}-{number}"


def members_service(quorum: str) -> str:
    """The headless Service."""
    return f"{quorum}-members"


def leader_service(quorum: str) -> str:
    """The Service that leads to the leader."""
    return f"{quorum}-leader"


def account(quorum: str) -> str:
    """The members' ServiceAccount."""
    return f"{quorum}-member"


def binding(namespace: str, quorum: str) -> str:
    """The ClusterRoleBinding that lets members ask for certificates; it has no namespace, so its name has."""
    return f"{MEMBER_ROLE}:{namespace}:{quorum}"
