from __future__ import annotations

from xml.etree import ElementTree

from labsupport.draw.road import Station, Trip, road

STATIONS = [Station("ask", "who?", "3 µs"), Station("keep", "write it down")]


def test_a_road_says_in_words_where_each_trip_ended() -> None:
    picture = road(
        STATIONS,
        [
            Trip("a stranger", 0, "401 Unauthorized", "No."),
            Trip("a friend", None, "201 Created", "Kept <b>."),
        ],
        title="Two requests",
        remark="Measured twice.",
    )
    assert "ask (who?): 3 µs" in picture.text
    assert "a stranger: ended at ask, 401 Unauthorized. No." in picture.text
    assert "a friend: came through, 201 Created. Kept <b>." in picture.text
    assert picture.text.endswith("Measured twice.")


def test_the_picture_is_well_formed_and_tells_the_two_ends_apart_by_shape() -> None:
    trips = [Trip("a stranger", 1, "409", "Taken."), Trip("a friend", None, "201", "Kept <b>.")]
    root = ElementTree.fromstring(road(STATIONS, trips, title="t").svg)
    space = "{http://www.w3.org/2000/svg}"
    squares = [each for each in root.iter(f"{space}rect") if each.get("width") == "18"]
    discs = [each for each in root.iter(f"{space}circle") if each.get("r") == "9"]
    assert len(squares) == len(discs) == 1
    assert float(discs[0].get("cx", 0)) > float(squares[0].get("x", 0))
