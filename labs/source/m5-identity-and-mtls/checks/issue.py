"""m5-issue: who gets a certificate, on made-up reviews, Pods and requests; then with real tokens of the cluster."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed

Object = dict[str, Any]
AUDIENCE = "mesh.labs.example"
EVERYDAY = "https://kubernetes.default.svc.cluster.local"
DEPLOYED = "authority"
POD, UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"
# What a request that should have been refused tells, in the order in which it is told.
LOOK = {
    "unauthenticated": "`review` says in one field whether the API server believes the token at all.",
    "audience": "The API server believes tokens that were made for others, too. Where does the review say for whom?",
    "no-account": "People and nodes have tokens as well. How does the user name of a ServiceAccount begin?",
    "unbound": "Anybody who may read a Secret could hold such a token. What in `user.extra` ties it to one Pod?",
    "pod-gone": "The token is older than this Pod, or the Pod is over. Compare the Pod with what the token says of it.",
    "other-account": "The Pod and the token do not agree on whose it is.",
    "unsigned": "Whoever sends this request has not shown that the key in it is theirs.",
    "asks-for-more": "Compare what the request asks for with what the token proves.",
    "replayed": "Another Pod brought this key before. Whose certificate would it be?",
}


@dataclass(frozen=True)
class Case:
    """A request: what the API server said of the token, the Pod, what the request says, and the right answer; `kind`
    says what is wrong with it, if the answer is "".
    """

    kind: str
    review: Object
    pod: Object | None
    csr: Object
    answer: str = ""


def _good(chosen: random.Random) -> Case:
    namespace = chosen.choice(["shop", "bank", "lab-a", "till.north"]).replace(".", "-")
    account = chosen.choice(["orders", "default", "web.v2", "reports"])
    pod, uid = f"{account.replace('.', '-')}-{chosen.randrange(16**5):05x}", _uuid(chosen)
    review = {
        "authenticated": True,
        "audiences": [AUDIENCE],
        "user": {
            "username": f"system:serviceaccount:{namespace}:{account}",
            "uid": _uuid(chosen),
            "groups": [
                "system:serviceaccounts",
                f"system:serviceaccounts:{namespace}",
                "system:authenticated",
            ],
            "extra": {POD: [pod], UID: [uid], "authentication.kubernetes.io/node-name": ["node-1"]},
        },
    }
    described = {
        "metadata": {"name": pod, "namespace": namespace, "uid": uid},
        "spec": {"serviceAccountName": account, "containers": [{"name": "app"}]},
        "status": {"phase": "Running", "podIP": f"10.244.0.{chosen.randrange(2, 250)}"},
    }
    identity = f"spiffe://labs.example/ns/{namespace}/sa/{account}"
    csr = {"names": [identity], "signed": True, "key": f"{chosen.randrange(16**16):016x}", "brought_by": ""}
    return Case("right", review, described, csr, identity)


def _uuid(chosen: random.Random) -> str:
    return str(uuid.UUID(int=chosen.getrandbits(128), version=4))


def _changed(chosen: random.Random, kind: str, change: Callable[[Object, Object, Object], None]) -> Case:
    """A good request with one thing changed; kind "right": it stays good."""
    good = deepcopy(_good(chosen))
    assert good.pod is not None  # noqa: S101 (made so above)
    change(good.review, good.pod, good.csr)
    return Case(kind, good.review, good.pod, good.csr, good.answer if kind == "right" else "")


def cases() -> list[Case]:
    """The requests that the notebook does not show; the same at each call."""
    chosen = random.Random("m5-issue")
    other = "spiffe://labs.example/ns/shop/sa/payments"
    found = [_good(chosen) for _ in range(3)]

    def add(kind: str, change: Callable[[Object, Object, Object], None]) -> None:
        found.append(_changed(chosen, kind, change))

    # What is to be certified, although it looks odd.
    add("right", lambda review, pod, csr: csr.update(names=[]))
    add("right", lambda review, pod, csr: csr.update(brought_by=pod["metadata"]["uid"]))
    add("right", lambda review, pod, csr: review.update(audiences=[EVERYDAY, AUDIENCE]))
    add("right", lambda review, pod, csr: pod["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"))
    add("right", lambda review, pod, csr: pod["status"].update(phase="Pending"))
    # What is not.
    add("unauthenticated", lambda review, pod, csr: review.update(authenticated=False, error="expired"))
    add("unauthenticated", lambda review, pod, csr: review.pop("authenticated"))
    add("audience", lambda review, pod, csr: review.update(audiences=[EVERYDAY]))
    add("audience", lambda review, pod, csr: review.pop("audiences"))
    add("audience", lambda review, pod, csr: review.update(audiences=[f"{AUDIENCE}.evil.example"]))
    add("no-account", lambda review, pod, csr: review["user"].update(username="system:node:node-1"))
    add("no-account", lambda review, pod, csr: review["user"].update(username="mallory"))
    add(
        "no-account",
        lambda review, pod, csr: review["user"].update(username=f"mallory:{review['user']['username']}"),
    )
    for prefix in ("oidc:serviceaccount:", "system:account:"):
        add(
            "no-account",
            lambda review, pod, csr, prefix=prefix: review["user"].update(  # type: ignore[misc]
                username=review["user"]["username"].replace("system:serviceaccount:", prefix)
            ),
        )
    add("unbound", lambda review, pod, csr: review["user"].pop("extra"))
    add("unbound", lambda review, pod, csr: review["user"]["extra"].pop(POD))
    add("unbound", lambda review, pod, csr: review["user"]["extra"].update({POD: []}))
    add("unbound", lambda review, pod, csr: review["user"].update(extra={POD: [pod["metadata"]["name"]]}))
    add("pod-gone", lambda review, pod, csr: pod["metadata"].update(uid=_uuid(chosen)))
    add("pod-gone", lambda review, pod, csr: pod["status"].update(phase="Succeeded"))
    add("pod-gone", lambda review, pod, csr: pod["status"].update(phase="Failed"))
    gone = _good(chosen)
    found.append(Case("pod-gone", gone.review, None, gone.csr))
    add("other-account", lambda review, pod, csr: pod["spec"].update(serviceAccountName="somebody"))
    add("unsigned", lambda review, pod, csr: csr.update(signed=False))
    add("asks-for-more", lambda review, pod, csr: csr.update(names=[other]))
    add("asks-for-more", lambda review, pod, csr: csr["names"].append(other))
    add("asks-for-more", lambda review, pod, csr: csr["names"].append("payments.shop.svc"))
    add("replayed", lambda review, pod, csr: csr.update(brought_by=_uuid(chosen)))
    return found


def decided(
    decide: Callable[..., object], requests: Sequence[tuple[Object, Object | None, Object]]
) -> list[tuple[str, str]]:
    """What `decide` makes of each request: ("certified", ID), ("refused", why) or ("strange", what it returned)."""
    from labsupport.operators.authority import NotCertified

    found = []
    for review, pod, csr in requests:
        try:
            answer = decide(review, pod, csr)
        except NotCertified as refusal:
            found.append(("refused", str(refusal)))
        else:
            known = isinstance(answer, str)
            found.append(("certified", str(answer)) if known else ("strange", type(answer).__name__))
    return found


def issue_offline(probe: Probe) -> Outcome:
    """m5-issue, without the cluster: requests that the notebook does not show."""
    asked = cases()
    with probe.function("decide", parameters=3) as decide:
        answers = decide.drive(
            decided,
            [(each.review, each.pod, each.csr) for each in asked],
            about="a request that the notebook does not show",
        )
    where = f"{len(asked)} requests that the notebook does not show"
    strange = next((text for kind, text in answers if kind == "strange"), "")
    if strange:
        return not_yet(
            "m5-issue/no-answer",
            f"For one of the requests `decide` returned something of the type {strange}.",
            where,
            "It is to return the identity as a text, or to raise NotCertified.",
        )
    pairs = list(zip(asked, answers, strict=True))
    # A function that gives the same to everybody is wrong in every other way, too.
    right = [(case, answer) for case, answer in pairs if case.answer]
    for case, (kind, text) in right:
        if kind == "certified" and text != case.answer:
            return not_yet(
                "m5-issue/wrong-identity",
                f"A Pod of {_who(case)} was certified as `{text}`.",
                where,
                "Compare with the form of SPIFFE IDs above the exercise, and with what the token proves.",
            )
    refused = [text for case, (kind, text) in right if kind == "refused"]
    if refused:
        return not_yet(
            "m5-issue/refuses-the-right",
            f"{len(refused)} of {len(right)} good requests were refused, one with: {refused[0][:120] or 'no reason'}.",
            where,
            "Read the rules again: which of them is this request against?",
        )
    for kind, look in LOOK.items():
        through = [case for case, answer in pairs if case.kind == kind and answer[0] == "certified"]
        if through:
            return not_yet(
                f"m5-issue/{kind}",
                f"A certificate was given that must not be: {_what(through[0])}.",
                where,
                look,
            )
    return passed(
        f"{len(right)} good requests were certified, {len(asked) - len(right)} others refused.", where
    )


def _who(case: Case) -> str:
    return str(case.review["user"]["username"]).removeprefix("system:serviceaccount:")


def _what(case: Case) -> str:
    """What is odd about a request, as a learner sees it in the input."""
    extra = (case.review.get("user") or {}).get("extra") or {}
    spec = (case.pod or {}).get("spec") or {}
    words = {
        "unauthenticated": "the API server does not know the token",
        "audience": f"the token is for {case.review.get('audiences') or 'nobody in particular'}",
        "no-account": f"the token is that of {case.review['user']['username']}",
        "unbound": f"the token says of its Pod {sorted(extra) or 'nothing'}",
        "pod-gone": f"the Pod of that name is {_state(case)}",
        "other-account": f"the token is of {_who(case)}, the Pod runs as {spec.get('serviceAccountName')}",
        "unsigned": "the request's `signed` is false",
        "asks-for-more": f"{_who(case)} asked for {', '.join(case.csr['names'])}",
        "replayed": "the key in the request was brought by another Pod before",
    }
    return words[case.kind]


def _state(case: Case) -> str:
    if case.pod is None:
        return "not there"
    same = case.pod["metadata"]["uid"] == case.review["user"]["extra"][UID][0]
    return f"over ({case.pod['status']['phase']})" if same else "another one"


# --- with real tokens


def issue(probe: Probe) -> Outcome:
    """m5-issue, on the cluster: the learner's authority, asked with tokens that the API server made."""
    deployed = probe.deployed(DEPLOYED)
    if deployed is None:
        return not_yet(
            "not-deployed",
            "Your function is right, and it is not on the cluster yet.",
            f"Deployment {DEPLOYED} in {probe.namespace}",
            "Run the cell with `lab.deploy`.",
        )
    if not deployed:
        return not_yet(
            "m5-issue/does-not-run",
            f"Your authority does not run: {deployed.problem}",
            f"Deployment {DEPLOYED}",
            "Run the cell with `lab.deploy` again; it says why.",
        )
    mine, other = _pod_of(probe, "inventory"), _pod_of(probe, "load")
    uris = [f"spiffe://labs.example/ns/{probe.namespace}/sa/{account}" for account in ("inventory", "load")]
    own, stolen = request_for(uris[0]), request_for(uris[1])
    tries = [
        ("right", _token(probe, "inventory", mine, AUDIENCE), own, uris[0]),
        ("audience", _token(probe, "inventory", mine, ""), request_for(uris[0]), ""),
        ("unbound", _token(probe, "inventory", None, AUDIENCE), request_for(uris[0]), ""),
        ("asks-for-more", _token(probe, "inventory", mine, AUDIENCE), stolen, ""),
        ("replayed", _token(probe, "load", other, AUDIENCE), request_for("", like=own), ""),
        ("right", _token(probe, "load", other, AUDIENCE), request_for(uris[1]), uris[1]),
    ]
    for kind, token, (csr, _), identity in tries:
        probe.progress(f"asking your authority ({kind})")
        got, why = _ask(probe, token, csr)
        if got != identity:
            errors = deployed.errors()
            raised = f" Your function raised {errors[-1].kind}: {errors[-1].message}." if errors else ""
            return not_yet(
                f"m5-issue/{'refuses-the-right' if identity else kind}",
                f"With a real token, your authority on the cluster {f'certified {got}' if got else 'refused: ' + why}."
                + raised,
                f"POST http://{DEPLOYED}/certificates",
                LOOK.get(
                    kind,
                    "Is the function that was deployed the one that the notebook has now? Deploy it again.",
                ),
            )
    return passed(
        "Your authority certified inventory and load by their own tokens, and refused a token for another audience, "
        "one without a Pod, a request for another's identity, and a key that another Pod had brought.",
        f"POST http://{DEPLOYED}/certificates, {len(tries)} times with tokens that the API server made",
    )


def request_for(uri: str, *, like: tuple[str, Any] | None = None) -> tuple[str, Any]:
    """A certificate request (PEM) for `uri` ("": for no name), and its key: a new one, or that of `like`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = like[1] if like else ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if uri:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(names, critical=False)
    made = builder.sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode(), key


def _pod_of(probe: Probe, app: str) -> Object:
    for pod in probe.list("v1", "Pod", labels=f"app={app}"):
        if (pod.get("status") or {}).get("phase") == "Running" and not pod["metadata"].get(
            "deletionTimestamp"
        ):
            return pod
    raise Rejected(
        not_yet(
            "m5-issue/no-pod",
            f"No Pod of {app} runs, so no token of it can be made.",
            f"Pods with the label app={app}",
            '`lab.start("m5")` brings the lab back to its start.',
        )
    )


def _token(probe: Probe, account: str, pod: Object | None, audience: str) -> str:
    """A token as the kubelet gets it for a Pod; it is written down nowhere."""
    spec: Object = {"expirationSeconds": 600, "audiences": [audience] if audience else []}
    if pod:
        metadata = pod["metadata"]
        spec["boundObjectRef"] = {
            "kind": "Pod",
            "apiVersion": "v1",
            "name": metadata["name"],
            "uid": metadata["uid"],
        }
    path = f"/api/v1/namespaces/{probe.namespace}/serviceaccounts/{account}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return str(kube.request(probe.api, "POST", path, body=body)["status"]["token"])


def _ask(probe: Probe, token: str, csr: str) -> tuple[str, str]:
    """What the learner's authority certifies, or "" and why not."""
    path = f"/api/v1/namespaces/{probe.namespace}/services/{DEPLOYED}:80/proxy/certificates"
    try:
        answer = kube.request(
            probe.api, "POST", path, body={"token": token, "csr": csr}, timeout=probe.left(10.0)
        )
        return str(answer["id"]), ""
    except kube.Refused as error:
        return "", error.what[:200]
    except (KeyError, TypeError, ValueError) as error:
        return "", f"an answer that is none: {error!r}"
