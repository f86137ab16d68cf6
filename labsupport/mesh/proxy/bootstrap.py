"""What Envoy starts with: where the control plane is, and how to be sure of it. All else comes from there (xDS).

The configuration is a plain dictionary in the JSON form of Envoy's messages (envoy.config.bootstrap.v3.Bootstrap).
"""

from __future__ import annotations

from typing import Any

from labsupport.mesh import names
from labsupport.mesh.proxy.settings import Settings

Json = dict[str, Any]

SOL_SOCKET, SO_MARK = 1, 36  # Linux's numbers; Python knows SO_MARK by name on Linux only
V3 = "type.googleapis.com/envoy"
PING = "30s"  # a control plane that is stuck is noticed after this and PING_TIMEOUT; one that is gone at once
PING_TIMEOUT = "10s"
CONNECTIONS = 20_000  # from others, at once: a Pod has 28,232 ports of its own to go on from

# Each counter costs about 200 bytes for each cluster, and most tell what nobody asks. These are looked at by the labs,
# by `labs mesh`, and when something does not work. Regular expressions for the whole name.
STATS = (
    r"(cluster|http|tcp|listener)\..*(upstream|downstream)_(rq|cx)_(total|active|[1-5]xx|time|timeout|retry|retry_success)",
    r"cluster\..*upstream_(cx_connect_fail|cx_connect_timeout|rq_pending_overflow|rq_[rt]x_reset)",
    r"cluster\..*(membership_healthy|membership_total|ejections_active|ejections_enforced_total)",
    r"cluster\..*(cx_open|rq_open|remaining_.*|ssl_context_update_by_sds)",
    r".*\.ssl\.(handshake|connection_error|fail_verify.*)",
    r".*(no_filter_chain_match|no_route|no_cluster|rbac\..*(allowed|denied)|fault\..*)",
    r".*(update_success|update_rejected|key_rotation_failed)",
    r"control_plane\..*",
    r"access_logs\..*",
    r"tracing\.opentelemetry\..*",
    r"cluster_manager\.(active|warming)_clusters",
    r"listener_manager\.total_.*",
    r"server\.(live|uptime|state|memory_.*|days_until_first_cert_expiring)",
)

# RBAC compares several headers of one name as one, joined by commas, which a policy then takes for a doubt
# (authorization.py). Envoy's own way, any one of them suffices, would let an Allow pass whatever else is sent.
RUNTIME = {"layers": [
    {"name": "mesh", "static_layer": {"envoy.reloadable_features.rbac_match_headers_individually": False}}
]}  # fmt: skip


def bootstrap(settings: Settings) -> Json:
    """The bootstrap for one sidecar."""
    found: Json = {
        "node": {
            "id": f"{settings.namespace}/{settings.pod}",
            "cluster": f"{settings.namespace}/{settings.service_account}",
            "metadata": {"uid": settings.uid, "ip": settings.ip, "capture": settings.capture},
        },
        "admin": {"address": _address("127.0.0.1", settings.admin_port)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": names.CONTROL_CLUSTER,
                            # Envoy's own is 0.5 s growing to 30 s: a control plane that is back would wait for proxies.
                            "retry_policy": {
                                "retry_back_off": {"base_interval": "0.1s", "max_interval": "2s"}
                            },
                        }
                    }
                ],
            },
            "lds_config": _ads(),
            "cds_config": _ads(),
        },
        "static_resources": {
            "clusters": [_control(settings), _admin(settings)],
            "listeners": [
                _page("health", settings.health_port, "/healthz/ready", "/ready"),
                _page("metrics", settings.metrics_port, "/stats/prometheus", "/stats/prometheus"),
            ],
        },
        "layered_runtime": RUNTIME,
        "stats_config": {
            "stats_matcher": {
                "inclusion_list": {"patterns": [{"safe_regex": {"regex": regex}} for regex in STATS]}
            }
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{V3}.extensions.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": CONNECTIONS,
                    },
                }
            ]
        },
    }
    if settings.mark is not None:
        # Every cluster's that names no mark of its own, also of those that come later.
        found["cluster_manager"] = {"upstream_bind_config": marked(settings.mark)}
    return found


def environment(settings: Settings) -> dict[str, str]:
    """What Envoy says of itself in spans (https://opentelemetry.io/docs/specs/otel/resource/sdk/)."""
    said = {
        "service.name": settings.service_account,
        "service.namespace": settings.namespace,
        "k8s.namespace.name": settings.namespace,
        "k8s.pod.name": settings.pod,
    }
    return {"OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in said.items())}


def _ads() -> Json:
    """Listeners and clusters come by ADS. The first ones are waited for without end.

    Envoy's own 15 s would make a proxy ready that has no configuration, and its Pod one that nobody can reach.
    """
    return {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}


def _control(settings: Settings) -> Json:
    """The cluster of the control plane: mutual TLS 1.3, and a name that is looked up."""
    cluster: Json = {
        "name": names.CONTROL_CLUSTER,
        "cluster_type": {
            "name": "envoy.cluster.dns",
            "typed_config": {
                "@type": f"{V3}.extensions.clusters.dns.v3.DnsCluster",
                "dns_lookup_family": "V4_PREFERRED",
                # Who starts before the cluster's DNS would otherwise ask again after 5 s only.
                "dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "2s"},
            },
        },
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": names.CONTROL_CLUSTER,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _address(settings.control, settings.ads_port)}}]}
            ],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{V3}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "connection_keepalive": {"interval": PING, "timeout": PING_TIMEOUT}
                    }
                },
            }
        },
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_time": 10, "keepalive_interval": 5, "keepalive_probes": 3}
        },
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{V3}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": settings.control,
                "common_tls_context": {
                    # Both ends: what a client offers at most is TLS 1.2 if nothing is said.
                    "tls_params": {
                        "tls_minimum_protocol_version": "TLSv1_3",
                        "tls_maximum_protocol_version": "TLSv1_3",
                    },
                    "tls_certificate_sds_secret_configs": [
                        _secret(names.IDENTITY, settings.identity_file, settings)
                    ],
                    "validation_context_sds_secret_config": _secret(
                        names.CONTROL_TRUST, settings.control_trust_file, settings
                    ),
                },
            },
        },
    }
    return cluster


def _secret(name: str, path: str, settings: Settings) -> Json:
    """A secret in a file. The directory is watched, since a file that is renamed into place is another file."""
    source = {"path": path, "watched_directory": {"path": settings.state}}
    return {"name": name, "sds_config": {"path_config_source": source, "resource_api_version": "V3"}}


def marked(mark: int) -> Json:
    """An `upstream_bind_config` that sets SO_MARK on each socket; needs CAP_NET_RAW (Linux 5.17, before: NET_ADMIN)."""
    option = {"level": SOL_SOCKET, "name": SO_MARK, "int_value": mark, "state": "STATE_PREBIND"}
    return {"socket_options": [{"description": "mark", **option}]}


def _admin(settings: Settings) -> Json:
    """Envoy's own admin page, for the two listeners that show one part of it each."""
    endpoint = {"endpoint": {"address": _address("127.0.0.1", settings.admin_port)}}
    return {
        "name": "admin",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "admin", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _page(name: str, port: int, path: str, shown: str) -> Json:
    """A listener that answers `path` with the admin's `shown`, and nothing else."""
    route = {
        "match": {"path": path},
        "route": {"cluster": "admin", "prefix_rewrite": shown, "timeout": "5s"},
    }
    manager = {
        "@type": f"{V3}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{V3}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    return {
        "name": name,
        "address": _address("0.0.0.0", port),  # noqa: S104 (of the Pod)
        # A proxy that has all the connections it takes is still ready, and its numbers are wanted most then.
        "ignore_global_conn_limit": True,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}
