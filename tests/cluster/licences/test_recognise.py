"""Licences by their wording; a wrong name would be worse than none."""

from __future__ import annotations

import pytest

from labsupport.cluster.licences import Text
from labsupport.cluster.licences.recognise import expression, recognise

BSD_2 = (
    "Redistribution and use in source and binary forms, with or without modification, are permitted ...\n"
    "THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS"
)
BSD_3 = BSD_2 + "\nNeither the name of X may be used to endorse\nor promote products"
MIT = (
    "Permission is hereby granted, free of charge, to any person\n"
    "The above copyright notice and this permission notice shall be included"
)
GRANT = (
    "Permission to use, copy, modify, and/or distribute this software for any\n"
    "purpose with or without fee is hereby granted"
)
APACHE = "Apache License\n   Version 2.0, January 2004\n TERMS AND CONDITIONS FOR USE, REPRODUCTION"


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (BSD_2, "BSD-2-Clause"),
        (BSD_3, "BSD-3-Clause"),
        (BSD_3 + " All advertising materials mentioning", ""),
        (MIT, "MIT"),
        (APACHE, "Apache-2.0"),
        (APACHE + MIT, "Apache-2.0 AND MIT"),
        (
            GRANT
            + ", provided that the above\ncopyright notice and this permission notice appear in all copies.",
            "ISC",
        ),
        (GRANT + ".\n\nTHE SOFTWARE IS PROVIDED", "0BSD"),
        ("Licensed under the Apache License, Version 2.0", ""),
        ("All rights reserved.", ""),
        ("", ""),
    ],
)
def test_recognise(text: str, licence: str) -> None:
    assert recognise(text) == licence


def test_all_texts_of_a_package_in_one_expression() -> None:
    texts = (Text("LICENSE", APACHE.encode()), Text("x/LICENSE", MIT.encode()), Text("NOTICE", b"\xff"))
    assert expression(texts) == "Apache-2.0 AND MIT"
    assert expression((Text("NOTICE", b"by someone"),)) == ""
