"""Rules of the house that a program can watch."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "labsupport"


def tracked() -> list[Path]:
    """Files that git knows and that are there."""
    try:
        names = subprocess.run(
            ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git clone")
    return [REPOSITORY / name for name in names if name and (REPOSITORY / name).is_file()]


def texts(*suffixes: str) -> list[tuple[str, str]]:
    """(path in the repository, text) of the tracked text files with one of these suffixes (none: all)."""
    found = []
    for path in tracked():
        if suffixes and path.suffix not in suffixes:
            continue
        try:
            found.append((str(path.relative_to(REPOSITORY)), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def test_anchors_of_errors_are_headings() -> None:
    """An error that points to a heading of clusters/README.md points to one that is there."""
    page = (REPOSITORY / "clusters/README.md").read_text()
    headings = {line.lstrip("#").strip() for line in page.splitlines() if line.startswith("#")}
    wrong = []
    for path, text in texts(".py"):
        if not path.startswith("labsupport/"):
            continue
        for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
            if not (isinstance(call.func, ast.Name) and call.func.id == "LabsError"):
                continue
            for word in call.keywords:
                if (
                    word.arg == "anchor"
                    and isinstance(word.value, ast.Constant)
                    and word.value.value not in headings
                ):
                    wrong.append(f"{path}:{call.lineno}: {word.value.value}")
    assert wrong == []


def test_links_between_our_pages_lead_somewhere() -> None:
    broken = []
    for path, text in texts(".md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:|#", target):
                continue
            if not ((REPOSITORY / path).parent / target.partition("#")[0]).exists():
                broken.append(f"{path}: {target}")
    assert broken == []


def test_no_registry_is_named() -> None:
    """Clients know their own registries, and users choose mirrors; uv.lock, whose form demands addresses, excepted."""
    hosts = (
        "py" + "pi.org",
        "pythonhosted" + ".org",
        "proxy.golang" + ".org",
        "deb.debian" + ".org",
        "npmjs" + ".org",
    )
    found = [
        f"{path}: {host}" for path, text in texts() if path != "uv.lock" for host in hosts if host in text
    ]
    assert found == []


def test_places_of_releases_stand_in_one_file() -> None:
    hosts = ("dl.k8s" + ".io", "releases/" + "download")
    found = {
        path for path, text in texts() for host in hosts if host in text and not path.startswith("tests/")
    }
    assert found == {"clusters/versions.toml"}


def test_no_path_of_one_machine() -> None:
    pattern = re.compile(r"(?<![\w.])/(?:home/(?!ada|lovelace|learner)\w+/|root/\w)")
    allowed = ("tests/",)
    found = [
        f"{path}: {match[0]}"
        for path, text in texts()
        if not path.startswith(allowed) and path != "uv.lock"
        for match in pattern.finditer(text)
    ]
    assert found == []


def test_notebooks_are_stored_without_outputs() -> None:
    for path, text in texts(".ipynb"):
        for cell in json.loads(text)["cells"]:
            assert not cell.get("outputs"), path
            assert cell.get("execution_count") is None, path


def test_nothing_listens_on_all_addresses() -> None:
    """Loopback only; what runs in a Pod or in the node has a network of its own."""
    everywhere = "0.0.0" + ".0"
    found = [
        path
        for path, text in texts(".py")
        if path.startswith("labsupport/")
        and f'"{everywhere}"' in text
        and not path.startswith(
            (
                "labsupport/mesh/",
                "labsupport/quorum/",
                "labsupport/shop/",
                "labsupport/cluster/embedded/runtime/",
            )
        )
    ]
    assert found == []


def test_each_dependency_says_why() -> None:
    lines = (REPOSITORY / "pyproject.toml").read_text().splitlines()
    start = lines.index("dependencies = [")
    for line in lines[start + 1 : lines.index("]", start)]:
        assert "#" in line, line


def test_ci_calls_make_and_make_calls_programs_of_the_environment() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in ("env", "up", "down", "test", "ci", "lint", "format", "build", "bench"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    run = (REPOSITORY / ".ci/run").read_text()
    assert run.index("make --no-print-directory test") < run.index("make --no-print-directory ci")
    assert (REPOSITORY / ".ci/run").stat().st_mode & 0o111


def test_pre_commit_downloads_nothing() -> None:
    import yaml

    configuration = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in configuration["repos"]] == ["local"]
    assert {hook["language"] for hook in configuration["repos"][0]["hooks"]} == {"system"}


def test_every_layer_is_in_the_import_contract() -> None:
    contract = (REPOSITORY / ".importlinter").read_text()
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {room for room in rooms if f"labsupport.{room}" not in contract} == set()


FORBIDDEN_IN_NODE = (
    *(
        "click",
        "rich",
        "pydantic",
        "kubernetes",
        "platformdirs",
        "psutil",
        "requests",
        "yaml",
        "cryptography",
    ),
    *("labsupport.console", "labsupport.paths", "labsupport.kube"),
)


def test_the_node_starts_without_our_libraries() -> None:
    """The course root's Python has none of them; import-linter does not see what a package's __init__ imports."""
    if importlib.util.find_spec("grpc") is None:
        pytest.skip("the node's own libraries are not installed here")
    runtime = sorted((PACKAGE / "cluster/embedded/runtime").glob("*.py"))
    modules = [
        "labsupport.cluster.embedded.node",
        *(f"labsupport.cluster.embedded.runtime.{path.stem}" for path in runtime),
    ]
    modules = [module for module in modules if not module.endswith("__")]
    assert len(modules) > 5
    program = (
        "import importlib, sys\n"
        "class Guard:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name in {FORBIDDEN_IN_NODE!r}: raise ModuleNotFoundError(f'{{name}} is not in the node')\n"
        "sys.meta_path.insert(0, Guard())\n"
        f"for module in {modules!r}:\n"
        "    importlib.import_module(module)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-800:]


def test_python_versions_agree() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    oldest = project["project"]["requires-python"].removeprefix(">=")
    assert project["tool"]["mypy"]["python_version"] == oldest
    assert project["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    from labsupport import bootstrap
    from labsupport.cluster.doctor import judge

    assert tuple(map(int, oldest.split("."))) == bootstrap.PYTHON_OLDEST == judge.PYTHON_OLDEST
