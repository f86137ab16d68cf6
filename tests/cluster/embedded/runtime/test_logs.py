from __future__ import annotations

from labsupport.cluster.embedded.runtime.logs import MAX_LINE, LineSplitter, timestamp

NOW = 1_475_712_549_669_794_202
PREFIX = b"2016-10-06T00:09:09.669794202Z stdout "


def test_timestamp() -> None:
    assert timestamp(NOW) == "2016-10-06T00:09:09.669794202Z"
    assert timestamp(5) == "1970-01-01T00:00:00.000000005Z"


def test_whole_lines_and_a_line_in_two_reads() -> None:
    splitter = LineSplitter("stdout")
    assert splitter.feed(b"a\n\nb", NOW) == PREFIX + b"F a\n" + PREFIX + b"F \n"
    assert splitter.feed(b"c\n", NOW) == PREFIX + b"F bc\n"
    assert splitter.finish(NOW) == b""


def test_last_line_without_newline_is_a_part() -> None:
    splitter = LineSplitter("stderr")
    assert splitter.feed(b"end", NOW) == b""
    assert splitter.finish(NOW) == PREFIX.replace(b"stdout", b"stderr") + b"P end\n"
    assert splitter.finish(NOW) == b""


def test_long_line_is_split() -> None:
    splitter = LineSplitter("stdout")
    out = splitter.feed(b"x" * (2 * MAX_LINE + 5) + b"\n", NOW)
    parts = [line.removeprefix(PREFIX) for line in out.split(b"\n")[:-1]]
    assert [part[:2] for part in parts] == [b"P ", b"P ", b"F "]
    assert [len(part) - 2 for part in parts] == [MAX_LINE, MAX_LINE, 5]


def test_line_of_exactly_the_limit_is_whole() -> None:
    out = LineSplitter("stdout").feed(b"x" * MAX_LINE + b"\n", NOW)
    assert out == PREFIX + b"F " + b"x" * MAX_LINE + b"\n"


def test_endless_line_does_not_grow_in_memory() -> None:
    splitter = LineSplitter("stdout")
    for _ in range(10):
        splitter.feed(b"x" * MAX_LINE, NOW)
    assert len(splitter.rest) <= MAX_LINE
