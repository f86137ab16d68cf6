"""The topology as data, in words and drawn: nothing lies over anything, and all that is drawn is also said."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from importlib import resources

import pytest

from labsupport.draw.topology import words
from labsupport.draw.topology.data import (
    LIMIT,
    Edge,
    Topology,
    as_dict,
    by_namespace,
    chosen,
    gathered,
    lines,
    read,
)
from labsupport.draw.topology.layers import Point, Size, layout
from labsupport.draw.topology.page import Asked, asked, view
from labsupport.draw.topology.picture import drawn, picture

from . import topologies

SVG = "{http://www.w3.org/2000/svg}"
SIZE = Size(150.0, 44.0, 64.0, 130.0, 12.0, 900.0, 6)


# --- data


def test_json_is_read_and_written() -> None:
    found = topologies.recorded()
    assert read(as_dict(found)) == found
    assert found.nodes[0].id == "outside"
    assert found.edges[3].error_share == 0.035


def test_ends_that_nobody_described_are_there() -> None:
    found = read({"edges": [{"from": "unknown", "to": "shop/web", "new": 1, "p50_ms": None}]})
    assert [(node.id, node.kind, node.account) for node in found.nodes] == [
        ("shop/web", "workload", "web"),
        ("unknown", "unknown", "unknown"),
    ]


def test_replicas_add_up() -> None:
    one = topologies.said(5)
    both = gathered([one, {**one, "lost": 2}])
    alone = read(one)
    assert len(both.edges) == len(alone.edges)
    for each, before in zip(both.edges, alone.edges, strict=True):
        assert (each.requests, each.errors) == (2 * before.requests, 2 * before.errors)
        assert (each.error_share, each.p99_ms) == (pytest.approx(before.error_share), before.p99_ms)
    assert both.lost == 2
    assert gathered([]) == Topology()


def test_one_can_choose() -> None:
    found = topologies.recorded()
    ledger = chosen(found, find="LEDGER")
    assert {edge.target for edge in ledger.edges} == {"shop/ledger"}
    assert {node.id for node in ledger.nodes} == {"shop/ledger", "shop/web", "shop/inventory"}
    bad = chosen(found, trouble=True)
    assert [(edge.source, edge.target) for edge in bad.edges] == [
        ("shop/inventory", "shop/ledger"),
        ("shop/web", "shop/inventory"),
    ]
    assert chosen(found, find="no such").nodes == ()


def test_a_namespace_stands_for_what_is_in_it() -> None:
    found = by_namespace(topologies.recorded())
    assert [(node.id, node.kind) for node in found.nodes] == [("outside", "outside"), ("shop", "namespace")]
    within, out = sorted(found.edges, key=lambda edge: edge.target != "shop")
    assert (within.source, within.target, within.requests, within.errors) == ("shop", "shop", 2490, 42)
    assert (out.target, out.mtls) == ("outside", False)


# --- layout


def boxes_apart(places: dict[str, Point], size: Size) -> None:
    for one, other in itertools.combinations(places.values(), 2):
        assert (
            abs(one.along - other.along) >= size.along - 0.1
            or abs(one.across - other.across) >= size.across - 0.1
        )


@pytest.mark.parametrize("count", [2, 5, 30, 100])
def test_no_box_lies_on_another_and_no_line_goes_through_one(count: int) -> None:
    found = topologies.made(count)
    places = layout([node.id for node in found.nodes], list(lines(found)), SIZE)
    boxes_apart(dict(places.boxes), SIZE)
    assert len(places.boxes) == count
    for (source, target), way in places.ways.items():
        assert len(way) % 2 == 0
        assert {len(way) >= 2, source != target} == {True}
        for one, other in itertools.pairwise(way):
            for name, box in places.boxes.items():
                inside = min(one.along, other.along) < box.along < max(one.along, other.along)
                if inside and name not in (source, target):
                    assert abs(one.across - box.across) > SIZE.across / 2, (source, target, name)


def test_calls_go_onwards() -> None:
    names = ["web", "cart", "stock", "db"]
    calls = [("web", "cart"), ("web", "stock"), ("cart", "db"), ("stock", "db"), ("web", "db")]
    at = layout(names, calls, SIZE).boxes
    assert at["web"].along < at["cart"].along == at["stock"].along < at["db"].along


def test_a_cycle_has_one_line_back() -> None:
    found = layout(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "a"), ("b", "b")], SIZE)
    back = [line for line, way in found.ways.items() if way[0].along > way[-1].along]
    assert back == [("c", "a")]
    assert ("b", "b") not in found.ways


def test_two_that_call_each_other_have_two_lines() -> None:
    ways = layout(["a", "b"], [("a", "b"), ("b", "a")], SIZE).ways
    assert ways[("a", "b")][0].across != ways[("b", "a")][-1].across


def test_lines_cross_no_more_than_they_must() -> None:
    names = [f"{side}{number}" for side in "xy" for number in range(6)]
    calls = [(f"x{number}", f"y{5 - number}") for number in range(6)]
    ways = layout(names, calls, SIZE).ways.values()
    order = [(way[0].across, way[-1].across) for way in ways]
    assert all((a[0] - b[0]) * (a[1] - b[1]) > 0 for a, b in itertools.combinations(order, 2))


def test_the_same_gives_the_same() -> None:
    found = topologies.made(30)
    names, calls = [node.id for node in found.nodes], list(lines(found))
    assert layout(names, calls, SIZE) == layout(names, calls, SIZE)
    assert drawn(found) == drawn(found)


def test_who_is_not_called_stands_apart() -> None:
    found = layout(["a", "b", "quiet"], [("a", "b")], SIZE)
    assert found.quiet is not None
    assert found.boxes["quiet"].across > found.quiet > found.boxes["a"].across
    assert layout(["one"], [], SIZE).boxes.keys() == {"one"}
    assert layout([], [], SIZE).boxes == {}


# --- words


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (0.001, "<0.01"),
        (0.254, "0.25"),
        (3.14, "3.1"),
        (20.4, "20"),
        (999.7, "1k"),
        (1234, "1.23k"),
        (5e6, "5M"),
    ],
)
def test_numbers(value: float, said: str) -> None:
    assert words.number(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 %"),
        (0.0002, "<0.1 %"),
        (0.0025, "0.25 %"),
        (0.035, "3.5 %"),
        (0.5, "50 %"),
        (0.9999, ">99.9 %"),
        (1, "100 %"),
    ],
)
def test_shares_are_never_rounded_to_none_or_all(value: float, said: str) -> None:
    assert words.share(value) == said


def test_the_text() -> None:
    assert words.text(topologies.recorded()).splitlines()[:8] == [
        "Over the last 60 s: 5 nodes, 5 edges, 42 requests a second, 2 in trouble, 1 in plaintext",
        "",
        "shop/gateway  (gateway, 1 of 1 ready)",
        "  -> shop/web        20/s      p50 4.1 ms  p99 19 ms   mTLS",
        "",
        "shop/inventory  (workload, 1 of 2 ready)",
        " !-> shop/ledger     1.5/s     p50 1 ms    p99 3.2 ms  mTLS       3 refused, 5 would be refused",
        "",
    ]
    assert "requests in this time" in words.text(topologies.made(30))
    assert "counts are too low" in words.text(replace(topologies.recorded(), lost=3))


def test_connections_are_no_requests() -> None:
    edge = next(edge for edge in topologies.recorded().edges if edge.protocol == "tcp")
    assert words.rate(edge) == "12 conn."
    assert "48.2kB there, 1.9MB back" in words.sentence(edge)


# --- pictures


def test_trouble_and_plaintext_are_not_told_by_colour_alone() -> None:
    found = topologies.recorded()
    root = ElementTree.fromstring(drawn(found).svg)
    said = ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]
    assert "! 20/s · 3.5 %" in said or "! 3.5 %" in said
    dashed = [each for each in root.iter(f"{SVG}path") if "stroke-dasharray" in each.attrib.get("style", "")]
    assert len(dashed) == 1  # to outside
    assert "shop · 1/2 ready" in said


# JupyterLab's own themes (theme-light-extension, theme-dark-extension); the page's are in the page.
JUPYTERLAB = (
    {"font-color1": "#212121", "font-color2": "#757575", "error-color1": "#d32f2f"}
    | {"layout-color0": "#ffffff", "layout-color2": "#eeeeee"},
    {"font-color1": "#ffffff", "font-color2": "#bdbdbd", "error-color1": "#f44336"}
    | {"layout-color0": "#111111", "layout-color2": "#424242"},
)


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2) of "#abc" or "#aabbcc"."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * each for each in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_all_text_has_enough_contrast_in_light_and_in_dark() -> None:
    """4.5:1 (WCAG 2.2, 1.4.3); what looks at pages for that does not look into SVG."""
    style = resources.files("labsupport.draw.topology").joinpath("page.html").read_text(encoding="utf-8")
    own = [
        dict(re.findall(r"--jp-(?:content-)?([\w-]+): (#\w+)", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]
    assert len(own) == 2
    for theme in (*own, *JUPYTERLAB):
        pairs = [(text, "layout-color0") for text in ("font-color1", "font-color2", "error-color1")]
        for text, ground in [*pairs, ("font-color1", "layout-color2")]:
            dark, light = sorted((luminance(theme[text]), luminance(theme[ground])))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground, theme)


def test_as_an_image_it_says_all_in_words() -> None:
    made = picture(topologies.recorded())
    root = ElementTree.fromstring(made.svg)
    assert root.attrib["role"] == "img"
    assert "2 in trouble" in root.attrib["aria-label"]
    assert not [each for each in root.iter() if "tabindex" in each.attrib]
    assert made.text == words.text(topologies.recorded())


def test_on_the_page_each_box_and_line_is_read_out() -> None:
    root = ElementTree.fromstring(drawn(topologies.recorded(), live=True).svg)
    parts = {
        each.attrib["data-k"]: each.attrib for each in root.iter() if each.attrib.get("role") == "button"
    }
    assert len(parts) == 10
    assert all(each["aria-label"] for each in parts.values())
    assert parts["shop/web>shop/inventory"]["aria-label"] == (
        "shop/web calls shop/inventory: 20 requests a second, 3.5 % errors, 99 of 100 within 9.9 ms, mutual TLS"
    )


def test_names_cannot_break_out() -> None:
    found = Topology(edges=(Edge('<b x="', "</svg>"),))
    made = drawn(read(as_dict(found)), live=True).svg + view(read(as_dict(found)), Asked(chosen='<b x=">'))
    assert "<b x" not in made
    ElementTree.fromstring(drawn(read(as_dict(found)), live=True).svg)


def test_too_many_become_namespaces() -> None:
    many = topologies.made(LIMIT + 10)
    shown = ElementTree.fromstring(picture(many).svg)
    named = ["".join(each.itertext()) for each in shown.iter(f"{SVG}text")]
    assert {"shop", "payments", "platform", "media"} <= set(named)
    assert not any("cart" in each for each in named)
    assert "each namespace is one here" in view(many, Asked())


# --- the page's changing part


def test_controls_are_read_and_nonsense_is_not() -> None:
    assert asked("seconds=300&find=a%20b&trouble=1&group=1&sort=p99&width=360&chosen=a%3Eb") == Asked(
        300, "a b", True, True, "p99", 360, "a>b"
    )
    assert asked("seconds=-1&sort=x&width=9999999&trouble=yes") == Asked()
    assert asked("seconds=9999&width=1") == replace(Asked(), seconds=300, width=240)


def test_the_table_is_sorted_and_says_how() -> None:
    shown = view(topologies.recorded(), Asked(sort="errors"))
    rows = re.findall(r'<tr data-k="[^"]*" data-from="([^"]*)" data-to="([^"]*)">', shown)
    assert rows[0] == ("shop/web", "shop/inventory")
    assert re.findall(r'aria-sort="(\w+)"><button type="button" data-sort="(\w+)"', shown) == [
        ("descending", "errors")
    ]
    assert '<td class="bad">! 3.5 % (42)</td>' in shown


def test_details_of_what_is_chosen() -> None:
    node = view(topologies.recorded(), Asked(chosen="shop/ledger"))
    assert "<h2>shop/ledger</h2><p>workload, 1 of 1 ready</p>" in node
    assert node.count("<li>") == 2
    assert view(topologies.recorded(), Asked(chosen="shop/web>shop/ledger")).count("<li>") == 1
    assert "<h2>" not in view(topologies.recorded(), Asked(chosen="gone"))
