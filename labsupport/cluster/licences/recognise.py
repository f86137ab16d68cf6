"""Recognises common licences by phrases that only they have; anything else stays unnamed.

Identifiers: SPDX License List (https://spdx.org/licenses/). A wrong name is worse than none, so all phrases must occur.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import Text

_BSD = ("redistribution and use in source and binary forms", "this software is provided by")
# Identifier, phrases that all occur, phrases of which none occurs.
_SIGNS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("Apache-2.0", ("apache license version 2.0", "terms and conditions for use"), ()),
    ("MPL-2.0", ("mozilla public license version 2.0", "1. definitions"), ()),
    (
        "MIT",
        (
            "permission is hereby granted, free of charge",
            "the above copyright notice and this permission notice",
        ),
        (),
    ),
    (
        "ISC",
        (
            "distribute this software for any purpose with or without fee is hereby granted",
            "provided that the above copyright notice and this permission notice appear in all copies",
        ),
        (),
    ),
    (
        "0BSD",
        ("distribute this software for any purpose with or without fee is hereby granted.",),
        (),
    ),
    ("BSD-3-Clause", (*_BSD, "may be used to endorse or promote"), ("all advertising materials",)),
    ("BSD-2-Clause", _BSD, ("may be used to endorse or promote", "may not be used to endorse")),
    ("PSF-2.0", ("python software foundation license version 2",), ()),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",), ()),
    ("CC0-1.0", ("cc0 1.0 universal",), ()),
)


def recognise(text: str) -> str:
    """SPDX identifiers of the licences that a text contains, joined by " AND "; "" if none is known."""
    flat = re.sub(r"[\s,]+", " ", text.lower())
    found = {
        identifier
        for identifier, all_of, none_of in _SIGNS
        if all(re.sub(r"[\s,]+", " ", phrase) in flat for phrase in all_of)
        and not any(phrase in flat for phrase in none_of)
    }
    return " AND ".join(sorted(found))


def expression(texts: Iterable[Text]) -> str:
    """One expression for all texts of a package; "" where none of them was recognised."""
    found = {
        identifier
        for text in texts
        for identifier in recognise(text.content.decode(errors="replace")).split(" AND ")
        if identifier
    }
    return " AND ".join(sorted(found))
