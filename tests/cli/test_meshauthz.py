"""How `labs mesh authz` puts an explanation."""

from __future__ import annotations

from labsupport.cli.meshauthz import describe
from labsupport.mesh.admin.authz import Call, judge
from tests.mesh import samples


def test_it_says_what_decides_and_what_does_not_match() -> None:
    rule = {"from": [{"identities": ["shop/api"]}], "to": [{"paths": ["/a"]}]}
    policies = [samples.policy("api", rule), samples.policy("nobody", mode="Audit", action="Deny")]
    call = Call("shop/web", "shop/orders", path="/x/../b")
    lines = describe(call, judge(samples.model(*samples.shop(), *policies), call)).splitlines()
    assert lines[0] == "shop/web to shop/orders, port 8080 of orders-1, orders-2: GET /b"
    assert lines[1] == "refused: none of the 1 Allow rules for this Pod matches."
    assert [" ".join(each.split()) for each in lines[3:]] == [
        "POLICY RULE ACTION MODE MATCHES",
        "shop/api 0 Allow Enforce no: from, to",
        "shop/nobody none Deny Audit no: it has no rules",
    ]


def test_what_audit_would_change_is_said() -> None:
    call = Call("-", "shop/orders")
    said = describe(call, judge(samples.model(*samples.shop(), samples.policy("trial", mode="Audit")), call))
    assert "allowed: no Allow policy is for this Pod" in said
    assert "If audited policies were enforced, refused: none of the 0 Allow rules" in said
