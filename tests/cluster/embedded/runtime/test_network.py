from __future__ import annotations

import pytest

from labsupport.cluster.embedded.runtime import rtnetlink
from labsupport.cluster.embedded.runtime.network import AddressPool, NoFreeAddress, link_name


def test_addresses_in_turn_without_the_gateway() -> None:
    pool = AddressPool("10.244.0.0/24")
    assert pool.gateway == "10.244.0.1"
    assert [pool.take(), pool.take()] == ["10.244.0.2", "10.244.0.3"]


def test_freed_address_is_not_used_again_at_once() -> None:
    pool = AddressPool("10.244.0.0/24")
    first = pool.take()
    pool.give_back(first)
    assert pool.take() == "10.244.0.3"


def test_all_addresses_then_none() -> None:
    pool = AddressPool("10.244.0.0/29")
    taken = {pool.take() for _ in range(5)}
    assert taken == {f"10.244.0.{n}" for n in range(2, 7)}
    with pytest.raises(NoFreeAddress, match="5 are in use"):
        pool.take()
    pool.give_back("10.244.0.4")
    assert pool.take() == "10.244.0.4"


def test_goes_on_where_an_earlier_server_was() -> None:
    pool = AddressPool("10.244.0.0/24", used=["10.244.0.10"], last="10.244.0.9")
    assert pool.take() == "10.244.0.11"


def test_wraps_around() -> None:
    pool = AddressPool("10.244.0.0/24", last="10.244.0.254")
    assert pool.take() == "10.244.0.2"


def test_link_name_fits() -> None:
    assert link_name("0123456789abcdef" * 4) == "veth01234567"


def test_netlink_attribute_is_padded() -> None:
    assert rtnetlink.attribute(3, b"eth0\0") == b"\x09\0\x03\0eth0\0\0\0\0"
