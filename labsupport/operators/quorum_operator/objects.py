"""The objects that a Quorum is made of, as dictionaries: pure functions of the Quorum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from labsupport.operators.quorum_operator import names
from labsupport.operators.quorum_operator.observed import Quorum

Object = dict[str, Any]
IMAGE = "labs.example/quorum"
CONFIG, TOKENS, BACKUP = (
    "/etc/quorum",
    "/etc/quorum-tokens",
    "/backup",
)  # where the members' Pods and Jobs have them
UID = f"{names.GROUP}/uid"


def labels(quorum: Quorum) -> dict[str, str]:
    """Of everything that belongs to a Quorum. The uid tells it from another one that had the same name."""
    return {**names.PART_OF, names.QUORUM: quorum.name, UID: quorum.uid}


def metadata(quorum: Quorum, name: str) -> Object:
    """Metadata of a child: it goes when the Quorum goes."""
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": "Quorum",
        "name": quorum.name,
        "uid": quorum.uid,
        "controller": True,
    }
    return {
        "name": name,
        "namespace": quorum.namespace,
        "labels": labels(quorum),
        "ownerReferences": [owner],
    }


def digest(content: Mapping[str, Any]) -> str:
    """By which a child is known to be as it should be."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def marked(content: Object) -> Object:
    """`content` with its own digest as an annotation."""
    annotations = {names.APPLIED: digest(content)}
    return {**content, "metadata": {**content["metadata"], "annotations": annotations}}


def children(quorum: Quorum, authority: str, replicas: int, release: str) -> list[Object]:
    """Everything but the Secret, in the order in which it is made. `authority`: the CA's certificate, PEM."""
    made = [
        _account(quorum),
        _binding(quorum),
        _config(quorum, authority),
        _members(quorum),
        _leader(quorum),
        _budget(quorum),
        statefulset(quorum, replicas, release),
    ]
    if quorum.spec.backup and quorum.spec.backup.schedule:
        made.append(_schedule(quorum))
    return [marked(each) for each in made]


def tokens(quorum: Quorum, client: str, admin: str) -> Object:
    """The Secret with which members and their clients know each other. Made once.

    Not `immutable`: a kubelet looks no more at an immutable Secret while any Pod of its node mounts it, and a client's
    Pod would have the members of a new Quorum of that name get the tokens of the old one.
    """
    content = {"client": client, "admin": admin}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(quorum, tokens_name(quorum.name)),
        "stringData": content,
    }


def tokens_name(quorum: str) -> str:
    """The Secret's name."""
    return f"{quorum}-tokens"


def schedule_name(quorum: str) -> str:
    """The CronJob of back-ups."""
    return f"{quorum}-backup"


def _account(quorum: Quorum) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(quorum, names.account(quorum.name)),
    }


def _binding(quorum: Quorum) -> Object:
    """Without a namespace it can have no owner in one; the finalizer removes it."""
    name = names.binding(quorum.namespace, quorum.name)
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": names.MEMBER_ROLE}
    account = {
        "kind": "ServiceAccount",
        "name": names.account(quorum.name),
        "namespace": quorum.namespace,
    }
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": labels(quorum)},
        "roleRef": role,
        "subjects": [account],
    }


def _config(quorum: Quorum, authority: str) -> Object:
    config = {
        "cluster": quorum.uid,
        "namespace": quorum.namespace,
        "name": quorum.name,
    }
    data = {"config.json": json.dumps(config, sort_keys=True), "ca.crt": authority}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(quorum, f"{quorum.name}-config"),
        "data": data,
    }


def _members(quorum: Quorum) -> Object:
    """Headless. Members must find each other before they are ready, and so before there is a leader."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {names.QUORUM: quorum.name, UID: quorum.uid},
        "ports": [{"name": "tls-peers", "port": names.PEERS}, {"name": "https", "port": names.HTTP}],
    }
    name = names.members_service(quorum.name)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(quorum, name), "spec": spec}


def _leader(quorum: Quorum) -> Object:
    """Without a selector: the operator writes whom it leads to."""
    spec = {"ports": [{"name": "https", "port": names.HTTP}]}
    name = names.leader_service(quorum.name)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(quorum, name), "spec": spec}


def endpoints(quorum: Quorum, pod: str, ip: str) -> Object:
    """Whom the leader's Service leads to."""
    name = names.leader_service(quorum.name)
    about = metadata(quorum, name)
    about["labels"] |= {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": names.OPERATOR,
    }
    target = {"kind": "Pod", "name": pod, "namespace": quorum.namespace}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": about,
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}, "targetRef": target}],
        "ports": [{"name": "https", "port": names.HTTP, "protocol": "TCP"}],
    }


def _budget(quorum: Quorum) -> Object:
    selector = {"matchLabels": {names.QUORUM: quorum.name, UID: quorum.uid}}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(quorum, quorum.name),
        # A member that is not ready may be evicted: it is down already.
        "spec": {"maxUnavailable": 1, "selector": selector, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
    }


def statefulset(quorum: Quorum, replicas: int, release: str) -> Object:
    """The members. OnDelete: Kubernetes restarts nobody for a new template, the operator does, in its order."""
    selector = {names.QUORUM: quorum.name, UID: quorum.uid}
    volume: Object = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": quorum.spec.storage}},
    }
    if quorum.spec.storage_class:
        volume["storageClassName"] = quorum.spec.storage_class
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(quorum, quorum.name),
        "spec": {
            "serviceName": names.members_service(quorum.name),
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            # Volumes hold shares of a key: nobody but the operator, who knows what for, deletes them.
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "selector": {"matchLabels": selector},
            "template": _template(quorum, release),
            "volumeClaimTemplates": [
                {"metadata": {"name": "data", "labels": labels(quorum)}, "spec": volume}
            ],
        },
    }


def _template(quorum: Quorum, release: str) -> Object:
    selector = {names.QUORUM: quorum.name, UID: quorum.uid}
    apart = {
        "weight": 100,
        "podAffinityTerm": {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": selector},
        },
    }
    spec = {
        "serviceAccountName": names.account(quorum.name),
        "terminationGracePeriodSeconds": 10,
        "securityContext": security(),
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [apart]}},
        "containers": [_member(quorum, release)],
        "volumes": [
            {"name": "config", "configMap": {"name": f"{quorum.name}-config"}},
            {"name": "tokens", "secret": {"secretName": tokens_name(quorum.name), "defaultMode": 0o444}},
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        ],
    }
    return {"metadata": {"labels": {**labels(quorum), names.RELEASE: release}}, "spec": spec}


def _member(quorum: Quorum, release: str) -> Object:
    def probe(path: str, period: int) -> Object:
        return {
            "httpGet": {"path": path, "port": "https", "scheme": "HTTPS"},
            "periodSeconds": period,
            "timeoutSeconds": 3,
        }

    return {
        "name": "member",
        "image": f"{IMAGE}:{release}",
        "command": ["python3", "-m", "labsupport.quorum"],
        "args": ["member", "--data", "/data", "--config", f"{CONFIG}/config.json"],
        "env": [
            _field("POD_NAME", "metadata.name"),
            _field("POD_UID", "metadata.uid"),
            _field("POD_NAMESPACE", "metadata.namespace"),
            _field("POD_IP", "status.podIP"),
            {"name": "QUORUM_RELEASE", "value": release},
        ],
        "ports": [
            {"name": "tls-peers", "containerPort": names.PEERS},
            {"name": "https", "containerPort": names.HTTP},
        ],
        "readinessProbe": probe("/readyz", 1),
        "livenessProbe": {**probe("/healthz", 10), "failureThreshold": 6, "initialDelaySeconds": 10},
        "resources": dict(quorum.spec.resources) or {"requests": {"cpu": "20m", "memory": "64Mi"}},
        "securityContext": confined(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "config", "mountPath": CONFIG, "readOnly": True},
            {"name": "tokens", "mountPath": TOKENS, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 (in the Pod)
        ],
    }


def _field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def security() -> Object:
    """Of a Pod.

    User 0, as volumes of Kubernetes' host-path provisioner are root's alone (mode 0750), but without any capability: in
    the container it may do no more than another user. No fsGroup: it would make files readable for a group, and a
    share is for its owner alone.
    """
    return {"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}}


def confined() -> Object:
    """Of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def job_pod(quorum: Quorum, claim: str, words: list[str]) -> Object:
    """The Pod template of a Job that copies between the leader and a volume. It has no rights at the API server."""
    release = quorum.release or quorum.spec.release
    container = {
        "name": "copy",
        "image": f"{IMAGE}:{release}",
        "command": ["python3", "-m", "labsupport.quorum"],
        "args": words,
        "env": [
            {"name": "QUORUM_RELEASE", "value": release},
            # By which a scheduled back-up is named: it ends with the minute that it is of.
            _field("JOB_NAME", "metadata.labels['job-name']"),
        ],
        "securityContext": confined(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "backup", "mountPath": BACKUP},
            {"name": "config", "mountPath": CONFIG, "readOnly": True},
            {"name": "tokens", "mountPath": TOKENS, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 (in the Pod)
        ],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": security(),
        "containers": [container],
        "volumes": [
            {"name": "backup", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "config", "configMap": {"name": f"{quorum.name}-config"}},
            {"name": "tokens", "secret": {"secretName": tokens_name(quorum.name), "defaultMode": 0o444}},
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        ],
    }
    return {"metadata": {"labels": {**names.PART_OF, f"{names.GROUP}/copies": quorum.name}}, "spec": spec}


def backup_words(name: str, keep: int = 0) -> list[str]:
    """What the Job of a back-up runs; `keep`: how many of its series are left on the volume, 0 for all."""
    return ["backup", *_copied(name), "--keep", str(keep)]


def restore_words(name: str) -> list[str]:
    """What the Job of a restore runs; again with the same name it does nothing."""
    return ["restore", *_copied(name)]


def _copied(name: str) -> list[str]:
    return ["--members", str(names.LARGEST), "--directory", BACKUP, "--name", name]


def _schedule(quorum: Quorum) -> Object:
    backup = quorum.spec.backup
    if backup is None:
        raise ValueError("there is nothing to schedule")
    spec = {
        "backoffLimit": 2,
        "template": job_pod(quorum, backup.claim, backup_words("$(JOB_NAME)", backup.keep)),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata(quorum, schedule_name(quorum.name)),
        "spec": {
            "schedule": backup.schedule,
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": min(backup.keep, 5),
            "failedJobsHistoryLimit": 2,
            "jobTemplate": {"metadata": {"labels": dict(names.PART_OF)}, "spec": spec},
        },
    }
