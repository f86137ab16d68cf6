"""When a proxy is ready for the next step of a rotation, by what Envoy says of its certificates."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.mesh.admin.rotate import signed_by, trusts

OLD, NEW = "0a1b", "2c3d"


def certs(*groups: list[str]) -> dict[str, Any]:
    """Envoy's /certs, with these roots in each of its contexts."""
    chain = [{"serial_number": "ff"}]
    return {
        "certificates": [
            {"ca_cert": [{"serial_number": each} for each in group], "cert_chain": chain} for group in groups
        ]
    }


@pytest.mark.parametrize(
    ("said", "ready"),
    [
        (certs([OLD, NEW], [OLD, NEW]), True),
        (certs([OLD, NEW], [OLD]), False),
        (certs([OLD]), False),
        ({"certificates": []}, False),
        (certs(["A1B", "2C3D"]), True),  # as another version may print them
    ],
)
def test_it_trusts_both_roots_everywhere(said: dict[str, Any], ready: bool) -> None:
    assert trusts(said, [OLD, NEW]) is ready


@pytest.mark.parametrize(
    ("said", "ready"),
    [
        (certs([NEW, OLD], [NEW, OLD]), True),
        (certs([NEW, OLD], [OLD, NEW]), False),  # it has not heard of the switch
        ({"certificates": [{"ca_cert": [{"serial_number": NEW}]}]}, False),
    ],
)
def test_its_certificate_is_of_the_new_root(said: dict[str, Any], ready: bool) -> None:
    assert signed_by(said, NEW) is ready
