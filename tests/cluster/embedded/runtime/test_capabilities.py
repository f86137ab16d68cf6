from __future__ import annotations

import pytest

from labsupport.cluster.embedded.runtime.capabilities import DEFAULT, NAMES, UnknownCapability, allowed


def mask(names: tuple[str, ...]) -> int:
    return sum(1 << NAMES.index(name) for name in names)


def test_numbers_are_the_kernels() -> None:
    assert (NAMES.index("NET_ADMIN"), NAMES.index("SYS_ADMIN"), NAMES.index("CHECKPOINT_RESTORE")) == (
        12,
        21,
        40,
    )


def test_default_mask_is_that_of_other_runtimes() -> None:
    assert mask(allowed([], [])) == 0xA80425FB


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ([], ["ALL"], set()),
        (["NET_BIND_SERVICE"], ["ALL"], {"NET_BIND_SERVICE"}),
        (["CAP_NET_ADMIN"], [], DEFAULT | {"NET_ADMIN"}),
        (["net_admin"], ["NET_RAW"], (DEFAULT | {"NET_ADMIN"}) - {"NET_RAW"}),
        (["ALL"], ["SYS_ADMIN"], set(NAMES) - {"SYS_ADMIN"}),
        (["ALL"], [], set(NAMES)),
        (["KILL"], ["KILL"], DEFAULT - {"KILL"}),
    ],
)
def test_add_and_drop(add: list[str], drop: list[str], expected: set[str]) -> None:
    assert set(allowed(add, drop)) == expected


def test_privileged_has_all() -> None:
    assert allowed([], ["ALL"], privileged=True) == NAMES


def test_unknown_name() -> None:
    with pytest.raises(UnknownCapability, match="FLY"):
        allowed(["FLY"], [])
