"""From an object as a watch tells of it to the model with that object in it: which record of which kind."""

from __future__ import annotations

from labsupport.mesh import api, authorization, egress, gateways, names, traffic
from labsupport.mesh.api import Name, Object, Reference, Settings
from labsupport.mesh.model import Model

# The kinds that the mesh follows, as `apiVersion` and `kind` in YAML name them.
KINDS = (
    ("v1", "Service"),
    ("v1", "Pod"),
    ("v1", "Namespace"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("gateway.networking.k8s.io/v1", "GRPCRoute"),
    ("gateway.networking.k8s.io/v1", "GatewayClass"),
    ("gateway.networking.k8s.io/v1", "Gateway"),
    ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant"),
    ("mesh.labs.example/v1alpha1", "PeerAuthentication"),
    ("mesh.labs.example/v1alpha1", "TrafficPolicy"),
    ("mesh.labs.example/v1alpha1", "AuthorizationPolicy"),
    ("mesh.labs.example/v1alpha1", "EgressPolicy"),
    ("mesh.labs.example/v1alpha1", "MeshConfig"),
)

MESH_CONFIG = Name(names.SYSTEM, "mesh")


def reference(found: Object) -> Reference:
    """Which object it is."""
    return Reference(found["kind"], *api.name_of(found))


def applied(model: Model, found: Object, *, gone: bool = False) -> Model:
    """The model with an object as it is now, or without it. ValueError for a kind that the mesh does not follow."""
    name = api.name_of(found)
    match found["kind"]:
        case "Service":
            return model.with_service(name, None if gone else api.service(found))
        case "EndpointSlice":
            return model.with_slice(name, None if gone else api.endpoint_slice(found))
        case "Pod":
            return model.with_workload(name, None if gone else api.workload(found))
        case "HTTPRoute" | "GRPCRoute":
            return model.with_route(reference(found), None if gone else api.route(found))
        case "Namespace":
            return model.with_namespace(name.name, None if gone else found["metadata"].get("labels") or {})
        case "GatewayClass":
            ours = found["spec"]["controllerName"] == names.CONTROLLER
            return model.with_class(name.name, ours and not gone)
        case "Gateway":
            return model.with_gateway(name, None if gone else gateways.gateway(found))
        case "ReferenceGrant":
            return model.with_grant(name, None if gone else gateways.grant(found))
        case "PeerAuthentication":
            return model.with_authentication(name, None if gone else api.peer_authentication(found))
        case "TrafficPolicy":
            return model.with_traffic(name, None if gone else traffic.traffic_policy(found))
        case "AuthorizationPolicy":
            return model.with_policy(name, None if gone else authorization.authorization_policy(found))
        case "EgressPolicy":
            return model.with_egress(name, None if gone else egress.egress_policy(found))
        case "MeshConfig":
            # Whoever may write into another namespace must not change the mesh.
            if name != MESH_CONFIG:
                return model
            return model.with_settings(Settings() if gone else api.settings(found))
    raise ValueError(f"the mesh does not follow objects of kind {found['kind']}")
