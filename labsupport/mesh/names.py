"""Every name and number that two parts of the mesh must agree on: ports, marks, labels, files in the sidecar."""

from __future__ import annotations

GROUP = "mesh.labs.example"  # the API group of the mesh's own kinds
CONTROLLER = f"{GROUP}/controller"  # in status.parents[].controllerName
SYSTEM = "labs-system"
CONTROL = "mesh-control"  # Deployment, Service and ServiceAccount of the control plane
INJECTOR = "mesh-injector"  # the MutatingWebhookConfiguration
TRUST_DOMAIN = "labs.example"
TOKEN_AUDIENCE = GROUP  # of the projected tokens that certificates are given for

# Ports in a Pod with a sidecar. All but the admin's and the explicit proxy's are reached from outside the Pod.
OUTBOUND = 15001
INBOUND = 15006
ADMIN = 15000  # loopback
PROBES = 15020  # the helper answers the Pod's rewritten probes here
HEALTH = 15021  # Envoy's own readiness
HTTP_PROXY = 15080  # loopback; the listener of Pods that are not captured but use http_proxy
METRICS = 15090

# Ports of the control plane.
ADS = 15010  # xDS over gRPC, mTLS
HTTPS = 15017  # certificates for proxies, injection for the API server
LOOK = 15014  # loopback: its state, for `labs mesh`
# METRICS too, with what proxies report.
CONTROL_CLUSTER = "xds"  # the control plane in a proxy's configuration

# Socket marks (SO_MARK), by which the capture rules know the proxy's own connections.
# From the outbound side to others; also the proxy's and its helper's own to the control plane.
MARK_OUT = 0x539
MARK_IN = 0x53A  # from the inbound side to the application

# Application protocols of TLS between sidecars (ALPN, RFC 7301). The first says "from the mesh" and is never chosen.
ALPN_MESH = "labs.mesh"
ALPN_TCP = "labs.tcp"  # what is inside is passed on as bytes

INJECT = f"{GROUP}/inject"  # label of a namespace: "true"; annotation of a Pod: "false"
PROXY = f"{GROUP}/proxy"  # label that injection gives a Pod: how its traffic is captured (CAPTURES)
CAPTURE = f"{GROUP}/capture"  # annotation of a Pod: one of CAPTURES
CAPTURES = ("redirect", "env")
GATEWAY_PROXY = "gateway"  # value of PROXY at the Pods of a Gateway: nothing is captured, listeners are bound
GATEWAY_CLASS = "labs-mesh"  # the GatewayClass that is installed; also the end of what is made for a Gateway
GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"  # at what is made for a Gateway (GEP-1762)
EXCLUDE_INBOUND = f"{GROUP}/exclude-inbound-ports"  # annotation of a Pod: ports, separated by commas
EXCLUDE_OUTBOUND = f"{GROUP}/exclude-outbound-ports"
REVISION = f"{GROUP}/revision"  # annotation that injection gives a Pod: of which making its proxy is

# Containers and volumes that injection adds.
PROXY_IMAGE = "labs.example/mesh-proxy:1"
PROXY_CONTAINER = "mesh-proxy"
CAPTURE_CONTAINER = "mesh-capture"
STATE_VOLUME = "mesh-state"
TOKEN_VOLUME = "mesh-token"  # noqa: S105 (a name)
TRUST_VOLUME = "mesh-trust"
TRUST_CONFIGMAP = "mesh-trust"  # in every namespace of the mesh; its key:
ROOTS = "roots.pem"

# Files in the sidecar. STATE is in memory and belongs to this container alone.
STATE = "/var/run/mesh"
TOKEN_FILE = "/var/run/secrets/mesh/token"  # noqa: S105 (a path)
TRUST_DIRECTORY = "/etc/mesh/trust"
IDENTITY_FILE = f"{STATE}/identity.json"  # an SDS file: the secret IDENTITY
CONTROL_TRUST_FILE = f"{STATE}/control-trust.json"  # an SDS file: the secret CONTROL_TRUST
IDENTITY = "identity"  # this workload's key and certificate
CONTROL_TRUST = "control-trust"  # what the control plane's certificate is checked against
TRUST = "trust"  # what peers' certificates are checked against; comes over ADS


def server_name(namespace: str, service: str, port: int) -> str:
    """What a client's TLS says that it calls (SNI): the destination tells by it which Service was meant."""
    return f"{port}.{service}.{namespace}"


def spiffe_id(namespace: str, service_account: str) -> str:
    """The SPIFFE ID of a ServiceAccount (https://spiffe.io/docs/latest/spiffe-about/spiffe-concepts/)."""
    return f"spiffe://{TRUST_DOMAIN}/ns/{namespace}/sa/{service_account}"
