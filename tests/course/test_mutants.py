"""Mutants: one change each, under a name that stays."""

from __future__ import annotations

import ast

import pytest
import yaml

from labsupport.course.proofs.mutants import Mutated, of, of_python, of_yaml

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports:
    - {port: 80, name: http}
  publishNotReadyAddresses: true
"""


def named(mutants: list[Mutated], name: str) -> Mutated:
    found = [mutant for mutant in mutants if mutant.name == name]
    assert len(found) == 1, [mutant.name for mutant in mutants]
    return found[0]


def test_each_field_of_a_manifest_is_dropped_and_each_value_altered_within_its_type() -> None:
    mutants = of_yaml(SERVICE)
    names = {mutant.name.removeprefix("Service/web ") for mutant in mutants}
    assert {
        *("spec dropped", "spec.selector.app dropped", "spec.ports[0] dropped", "metadata.name dropped"),
        *("spec.selector.app web -> web-x", "spec.ports[0].port 80 -> 81"),
        "spec.publishNotReadyAddresses true -> false",
    } <= names
    changed = yaml.safe_load(named(mutants, "Service/web spec.ports[0].port 80 -> 81").source)
    assert changed["spec"]["ports"] == [{"port": 81, "name": "http"}]
    # apiVersion, kind, metadata and its name; spec with selector, app, ports, its item of two, and the last.
    assert sum(name.endswith("dropped") for name in names) == 4 + 8


@pytest.mark.parametrize(
    ("before", "after"), [("5s", "6s"), ("100m", "101m"), ("'80'", "81"), ("10%", "11%")]
)
def test_a_quantity_stays_a_quantity(before: str, after: str) -> None:
    shown = before.strip("'")
    assert named(of_yaml(f"kind: A\na: {before}\n"), f"A a {shown} -> {after}")


def test_documents_are_dropped_one_by_one_and_their_names_tell_which() -> None:
    mutants = of_yaml("kind: A\nmetadata: {name: one}\n---\nkind: B\nmetadata: {name: two}\n")
    assert list(yaml.safe_load_all(named(mutants, "A/one dropped").source)) == [
        {"kind": "B", "metadata": {"name": "two"}}
    ]


def test_placeholders_survive() -> None:
    mutants = of_yaml(
        "apiVersion: {namespace}.labs.example/v1\nkind: A\nmetadata: {name: {name:crd}, n: 1}\n"
    )
    source = named(mutants, "A/{name:crd} metadata.n dropped").source
    assert "apiVersion: {namespace}.labs.example/v1" in source
    assert "name: {name:crd}" in source
    assert named(mutants, "A/{name:crd} metadata.name {name:crd} -> {name:crd}-x")


PLAN = """\
def plan(wanted, found, *, limit=3):
    \'\'\'What to do.\'\'\'
    print("planning")
    if not wanted and found:
        raise ValueError("nothing wanted")
    names = sorted(wanted, key=len)
    return [name for name in names if name not in found][: limit - 1]
"""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("plan: return [name for name in names if name not in... dropped", "pass"),
        ("plan: print('planning') dropped", "pass"),
        ("plan: raise ValueError('nothing wanted') dropped", "pass"),
        ("plan: not wanted and found -> not wanted or found", "if not wanted or found:"),
        ("plan: name not in found -> name in found", "if name in found"),
        ("plan: name not in found always true", "if True"),
        ("plan: limit - 1 -> limit + 1", "limit + 1"),
        ("plan: 1 -> 2", "limit - 2"),
        ("plan: 3 -> 4", "limit=4"),
        ("plan: sorted(key=) dropped", "sorted(wanted)"),
    ],
)
def test_a_program_is_changed_in_one_place(name: str, line: str) -> None:
    mutant = named(of_python(PLAN), name)
    assert line in mutant.source
    changed = [each for each in mutant.diff.splitlines() if each[:1] == "+" and each[:3] != "+++"]
    assert any(line in each for each in changed)
    ast.parse(mutant.source)


def test_texts_for_people_are_left_alone() -> None:
    names = [mutant.name for mutant in of_python(PLAN)]
    assert not [name for name in names if "What to do" in name]
    assert not [name for name in names if "-> '" in name]


def test_no_mutant_is_the_solution_and_none_is_made_twice() -> None:
    mutants = of_python(PLAN)
    sources = [mutant.source for mutant in mutants]
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    assert ast.unparse(ast.parse(PLAN)) not in sources
    # The tree is put back after each change: the last mutant differs in one place too.
    assert all(
        len([line for line in mutant.diff.splitlines() if line[:2] == "@@"]) == 1 for mutant in mutants
    )


def test_only_the_lines_asked_for() -> None:
    assert {mutant.name for mutant in of_python("a = 1\nb = 2\nc = a < b\n", {2})} == {
        "b = 2 dropped",
        "2 -> 3",
    }


@pytest.mark.parametrize("prefix", ["", "f"])
def test_yaml_in_a_program_is_yaml(prefix: str) -> None:
    manifest = SERVICE.replace("{", "{{").replace("}", "}}") if prefix else SERVICE
    program = f"lab.apply({prefix}'''\n{manifest}''')\n"
    mutant = named(of_python(program, {6}), "Service/web spec.selector.app web -> web-x")
    applied: list[str] = []
    exec(mutant.source, {"lab": type("Lab", (), {"apply": applied.append})})  # noqa: S102
    assert yaml.safe_load(applied[0])["spec"]["selector"] == {"app": "web-x"}


GIVEN = """\
lab.apply(PREFIX'''
kind: A
metadata:
  name: given
spec:
  - {given: 1}
  - mine: 2
    text: >-
      given
      mine
---
kind: B
mine: true
''')
"""


@pytest.mark.parametrize("prefix", ["", "f"])
def test_of_yaml_in_a_program_only_what_stands_on_the_lines_asked_for(prefix: str) -> None:
    program = GIVEN.replace("PREFIX", prefix)
    if prefix:
        program = program.replace("{given: 1}", "{{given: 1}}").replace("name: given", "name: {given}")
    own = {number for number, line in enumerate(program.split("\n"), 1) if "mine" in line}
    title = "A/{given}" if prefix else "A/given"
    assert [mutant.name for mutant in of_python(program, own)] == [
        f"{title} spec[1] dropped",
        f"{title} spec[1].mine dropped",
        f"{title} spec[1].mine 2 -> 3",
        f"{title} spec[1].text given mine -> given mine-x",
        "B mine dropped",
        "B mine true -> false",
    ]


def test_of_yaml_that_is_not_in_the_program_line_by_line_everything() -> None:
    names = {mutant.name for mutant in of_python('lab.apply("kind: A\\nmine: 1\\n")\n', {1})}
    assert {"A kind dropped", "A mine 1 -> 2"} <= names


@pytest.mark.parametrize(
    ("prefix", "inside"), [("", "{namespace}"), ("f", "{{namespace}}")], ids=["text", "f-string"]
)
def test_placeholders_in_a_program_survive(prefix: str, inside: str) -> None:
    program = f"text = {prefix}'''\nkind: A\nmetadata:\n  namespace: {inside}\nat: {inside}/till\n'''\n"
    mutants = of_python(program)
    assert not [mutant.name for mutant in mutants if "None" in mutant.name or "[None]" in mutant.name]
    assert named(mutants, "A metadata.namespace {namespace} -> {namespace}-x")
    names: dict[str, str] = {}
    exec(named(mutants, "A kind A -> A-x").source, names)  # noqa: S102
    assert names["text"].split("\n")[1:4] == ["metadata:", "  namespace: {namespace}", "at: {namespace}/till"]


def test_what_an_f_string_computes_stays_in_a_manifest() -> None:
    program = "text = f'''\nkind: A\nmetadata:\n  name: {name}\n'''\n"
    mutants = of_python(program)
    names: dict[str, str] = {"name": "n"}
    exec(named(mutants, "A/{name} kind A -> A-x").source, names)  # noqa: S102
    assert yaml.safe_load(names["text"]) == {"kind": "A-x", "metadata": {"name": "n"}}


def test_equal_changes_are_told_apart() -> None:
    assert [mutant.name for mutant in of_python("f(1)\nf(1)\n") if "->" in mutant.name] == [
        "1 -> 2",
        "1 -> 2 #2",
    ]


def test_the_suffix_decides() -> None:
    assert of("a.yaml", "a: 1\n")[0].name == "document a dropped"
    assert of("a.py", "a = 1\n")[0].name == "a = 1 dropped"
