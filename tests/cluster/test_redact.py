"""Secrets that are planted in a text do not come through; what is needed to find a fault does."""

from __future__ import annotations

import base64
import secrets

import pytest

from labsupport.cluster.redact import Redactor

KEY_BODY = base64.b64encode(b"not a real key, but as long as one would be " * 4).decode()
PLANTED = [
    (f"-----BEGIN EC PRIVATE KEY-----\n{KEY_BODY}\n-----END EC PRIVATE KEY-----", KEY_BODY[:40]),
    (f"-----BEGIN PRIVATE KEY-----\n{KEY_BODY}", KEY_BODY[:40]),
    (f"tail of a key\n{KEY_BODY[:64]}\n{KEY_BODY[64:128]}\n", KEY_BODY[64:128]),
    ("token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJlLWJ5dGVz", "eyJzdWIi"),
    ("Authorization: Bearer 9f8e7d6c5b4a39281706", "9f8e7d6c5b4a"),
    ("proxy https://ada:hunter2@proxy.example:3128/", "hunter2"),
    (f"client-key-data: {KEY_BODY}", KEY_BODY[:30]),
    ('{"password": "correct horse"}', "correct"),
    (r'{"log":"{\"api_key\":\"abcd1234efgh\"}"}', "abcd1234efgh"),
    ("GET /lab?token=0123456789abcdef0123 200", "0123456789abcdef"),
    ("DATABASE_PASSWORD=s3cr3t-thing", "s3cr3t-thing"),
    ("bootstrap 07401b.f395accd246ae52d used", "f395accd246ae52d"),
]


@pytest.mark.parametrize(("text", "secret"), PLANTED, ids=[secret[:12] for _, secret in PLANTED])
def test_a_planted_secret_does_not_come_through(text: str, secret: str) -> None:
    redact = Redactor()
    assert secret in text
    assert secret not in redact(text)
    assert redact.count >= 1


def test_known_secrets_go_wherever_they_stand() -> None:
    value = secrets.token_hex(16)
    assert value not in Redactor(secrets=[value])(f"oddly quoted <{value}> here")


def test_names_and_home_go() -> None:
    redact = Redactor(home="/home/lovelace", names=["lovelace", "engine-7", "Ada"])
    text = redact("/home/lovelace/course on engine-7 by Lovelace (Ada): Canada, engine-70")
    assert "lovelace" not in text.lower()
    assert "~/course" in text
    assert "engine-7 " not in text
    assert "Canada" in text, "a name within a word is no name"
    assert "engine-70" in text


@pytest.mark.parametrize(
    "text",
    [
        "kubelet exited with status 1 after 4 s: open /etc/kubernetes/kubelet.conf: no such file",
        '"tokenReview": true',
        "serviceAccountToken: /var/run/secrets/kubernetes.io/serviceaccount/token",
        "course-root of root at /opt/course-root",
        "192.168.77.1:6443: connection refused",
        "sha256 37627d5eacf9 kube-apiserver-1.37.2-30d196c11278",
    ],
)
def test_what_a_fault_is_found_by_stays(text: str) -> None:
    redact = Redactor(home="/root", names=["root"])
    assert redact(text) == text
    assert redact.count == 0
