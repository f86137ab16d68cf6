"""Functions of a notebook as text: what travels with them, what cannot, and whose line is whose."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.course.source import Gathered, Unportable, gather, name_in, run_cell


def cell(*texts: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for text in texts:
        run_cell(text, names, "the answer")
    return names


def result(gathered: Gathered, *args: Any) -> Any:
    """Run the gathered text with nothing else around it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(gathered.text, "<elsewhere>", "exec", dont_inherit=True), names)  # noqa: S102 (what is tested)
    return names[gathered.entry](*args)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("def f(x):\n    return x + 1", 3),
        ("K = 5\ndef f(x):\n    return K * x", 10),
        ("T = {'a': [1, (2,)], 'b': None}\ndef f(x):\n    return T['a'][1][0] * x", 4),
        ("import math as m\ndef f(x):\n    return m.sqrt(x + 2)", 2.0),
        ("import os.path\ndef f(x):\n    return os.path.join('a', str(x))", "a/2"),
        ("import concurrent.futures\ndef f(x):\n    return concurrent.futures.Future.__name__", "Future"),
        ("from collections import Counter as C\ndef f(x):\n    return C([x])[x]", 1),
        ("from typing import Any, Optional\ndef f(x: Optional[int]) -> Any:\n    return x", 2),
        ("def f(x):\n    import json\n    return json.dumps(x)", "2"),
        ("def g(x):\n    return h(x)\ndef h(x):\n    return x * 7\ndef f(x):\n    return g(x)", 14),
        ("def f(x):\n    return 1 if x == 0 else x * f(x - 1)", 2),
        ("class B:\n    n = 3\nclass A(B):\n    pass\ndef f(x):\n    return A.n + x", 5),
        (
            "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(x):\n    return P(x).x",
            2,
        ),
        ("from collections import namedtuple\nP = namedtuple('P', 'x')\ndef f(x):\n    return P(x).x", 2),
        ("import re\nR = re.compile('[0-9]')\ndef f(x):\n    return bool(R.match(str(x)))", True),
        ("from functools import cache\n@cache\ndef f(x):\n    return x", 2),
        (
            "from functools import partial as p\ndef g(a, b):\n    return a - b\nh=p(g,9)\ndef f(x):\n    return h(x)",
            7,
        ),
        ("f = lambda x: x + 4", 6),
        ("def max(*each):\n    return 'mine'\ndef f(x):\n    return max(x, 1)", "mine"),
        (
            "from kubernetes import client\nPOD = client.V1Pod(metadata=client.V1ObjectMeta(name='a'))\n"
            "def f(x):\n    return POD.metadata.name * x",
            "aa",
        ),
        ("def first(x):\n    return x\nf = first", 2),
        ("Pair = dict[str, int]\ndef f(x: int) -> Pair:\n    return {'a': x}", {"a": 2}),
        ("n = 0\ndef f(x):\n    global n\n    n += x\n    return n", 2),
        ("LOW, HIGH = 1, 9\ndef f(x):\n    return [i for i in range(LOW, HIGH) if i == x]", [2]),
        ("def g(x):\n    return x\ndef f(x, by=g):\n    return by(x)", 2),
        (
            "class A:\n    def go(self, x):\n        return super().__hash__() and x\ndef f(x):\n    return A().go(x)",
            2,
        ),
        ("from __future__ import annotations\ndef f(x: Missing) -> Missing:\n    return x", 2),
    ],
)
def test_a_function_travels_with_what_it_needs(text: str, wanted: Any) -> None:
    names = cell(text)
    assert result(gather(names["f"], names), 2) == wanted


def test_it_travels_with_the_values_of_now_and_from_any_cell() -> None:
    names = cell(
        "K = 1\nimport re", "def g():\n    return re.escape('.') * K", "def f():\n    return g()", "K = 2"
    )
    assert result(gather(names["f"], names)) == r"\.\."


def test_the_latest_definition_travels() -> None:
    names = cell("class A:\n    n = 1", "def f():\n    return A.n", "class A:\n    n = 2")
    assert result(gather(names["f"], names)) == 2


def test_nothing_travels_that_is_not_needed() -> None:
    names = cell("import json\nSECRET = 'x'\ndef g():\n    return SECRET\ndef f():\n    g = 1\n    return g")
    assert "SECRET" not in gather(names["f"], names).text
    assert "json" not in gather(names["f"], names).text


def test_a_function_of_checks_travels_as_a_learners_does() -> None:
    gathered = gather(harness, globals())
    assert result(gathered, 3) == 4
    assert "pytest" not in gathered.text


def plus(x: int) -> int:
    return x + 1


def harness(x: int) -> int:
    return plus(x)


def test_each_line_knows_where_it_came_from() -> None:
    names = cell(
        "import json\n\n# a remark\nK = 3\n\ndef g(x):\n    return 1 / x",
        "def f(x):\n    y = K\n    return g(x)",
    )
    gathered = gather(names["f"], names)
    lines = gathered.text.split("\n")
    origins = {
        lines[number]: origin for number, origin in enumerate(gathered.origins) if origin and lines[number]
    }
    assert str(origins["    return 1 / x"]) == "line 7 of the answer: `return 1 / x`"
    assert origins["    return g(x)"].line == 3
    assert gathered.origin(0) is None
    assert gathered.origin(10_000) is None


def test_functions_that_are_sent_together_bring_what_they_use_once() -> None:
    names = cell(
        "calls = []\ndef mark(f):\n    calls.append(f.__name__)\n    return f",
        "K = 5\n@mark\ndef first(x):\n    return K + x\n@mark\ndef second(x):\n    return first(x) + K",
    )
    names["calls"].clear()
    gathered = gather(names["first"], names, [name_in(names["second"], names)])
    assert gathered.text.count("K = 5") == 1
    there: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(gathered.text, "<elsewhere>", "exec", dont_inherit=True), there)  # noqa: S102 (what is tested)
    assert there["calls"] == ["first", "second"]  # decorators run where the text does
    assert there["second"](1) == 11


def test_a_function_without_a_name_in_the_notebook_is_not_sent_along() -> None:
    with pytest.raises(Unportable, match="has no name in the notebook"):
        name_in(lambda x: x, cell("K = 5"))


def test_the_digest_follows_the_text() -> None:
    one, same, other = (
        cell("def f():\n    return 1"),
        cell("def f():\n    return 1"),
        cell("def f():\n    return 2"),
    )
    digests = [gather(each["f"], each).digest for each in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("text", "said", "fix"),
    [
        ("def make():\n    kept = {}\n    def f():\n        kept\n    return f\nf = make()", "`kept`", "parameter"),
        ("f = len", "built into Python", "def"),
        ("f = 3", "int", "def"),
        ("from functools import partial\nf = partial(int, 3)", "partial", "def"),
        ("class A:\n    def go(self):\n        pass\nf = A().go", "method of an object", "def"),
        ("exec('def f():\\n    return 1')", "cannot be found", "def"),
        ("if True:\n    def f():\n        return 1", "inside something else", "left margin"),
        ("import socket\ns = socket.socket()\ns.close()\ndef f():\n    return s", "`s`, which `f` uses,", "inside"),
        ("import threading\nfor L in [threading.Lock()]:\n    0\ndef f():\n    return L", "no plain value", "inside"),
        (
            "from kubernetes.client import ApiClient, CoreV1Api, Configuration\n"
            "v1 = CoreV1Api(ApiClient(Configuration()))\ndef f():\n    return v1",
            "a CoreV1Api, a connection to the cluster",
            "inside",
        ),
        (
            "from labsupport.course.context import Context\nlab = Context({})\ndef g():\n    return lab.api\n"
            "def f():\n    return g()",
            "`lab`, which `g` uses, is a Context",
            "NAMESPACE = lab.namespace",
        ),
        (
            "from labsupport.course.context import Context\nlab = Context({})\nbound = lab.check\n"
            "def f():\n    return bound('x')",
            "`lab`, which `bound` uses,",
            "parameter",
        ),
    ],
)  # fmt: skip
def test_what_cannot_travel_is_named_with_the_reason_and_the_remedy(text: str, said: str, fix: str) -> None:
    names = cell(text)
    with pytest.raises(Unportable) as raised:
        gather(names["f"], names)
    assert said in raised.value.what
    assert fix in raised.value.fix


def test_in_ipython_functions_classes_and_values_travel_too() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    for text in (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int",
        "import re\nR = re.compile('a')",
        "def f(x):\n    return P(x).x if R.match('a') and open('/dev/null') else 0",
    ):
        assert shell.run_cell(text, store_history=True).success
    gathered = gather(shell.user_ns["f"], shell.user_ns)
    assert result(gathered, 5) == 5
    origin = next(each for each in gathered.origins if each and "return P" in each.text)
    assert str(origin) == "line 2 of cell [3]: `return P(x).x if R.match('a') and open('/dev/null') else 0`"
