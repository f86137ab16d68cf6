"""Making the environment: which way is taken, what is said when none works, and when nothing is to be done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labsupport import bootstrap


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository, home and PATH of the test's own."""
    repository = tmp_path / "repository"
    (repository / "labsupport").mkdir(parents=True)
    for name in ("uv.lock", "pyproject.toml", "labsupport/bootstrap.py"):
        (repository / name).write_text(name)
    monkeypatch.setattr(bootstrap, "REPOSITORY", repository)
    monkeypatch.setattr(bootstrap, "VENV", repository / ".venv")
    monkeypatch.setattr(bootstrap, "STAMP", repository / ".venv" / "labs-environment.json")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(bootstrap, "AUTHORITIES", (str(tmp_path / "bin"),))
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    return tmp_path


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_uv_on_path_is_taken_if_it_is_new_enough(places: Path) -> None:
    uv = program(places / "bin/uv", "echo 'uv 0.13.0 (x)'")
    assert bootstrap.from_path() == uv
    program(places / "bin/uv", "echo 'uv 0.4.30'")
    with pytest.raises(bootstrap.Failed, match=r"0\.4\.30.*0\.13 or newer"):
        bootstrap.from_path()


def test_a_broken_uv_on_path_is_passed_over(places: Path) -> None:
    program(places / "bin/uv", "echo 'no such version' >&2; exit 3")
    with pytest.raises(bootstrap.Failed, match="no such version"):
        bootstrap.from_path()


def test_the_kept_uv_is_found_again() -> None:
    with pytest.raises(bootstrap.Failed, match="none in"):
        bootstrap.from_cache()
    program(bootstrap.kept_uv(), f"echo 'uv {bootstrap.UV_VERSION}'")
    assert bootstrap.from_cache() == bootstrap.kept_uv()


def test_the_first_way_that_works_is_taken() -> None:
    def fails() -> Path:
        raise bootstrap.Failed("not here")

    ways = (("one", fails), ("two", lambda: Path("/two")), ("three", lambda: Path("/three")))
    assert bootstrap.find_uv(ways) == Path("/two")


def test_when_no_way_works_each_is_named_with_its_reason() -> None:
    def fails_with(reason: str) -> Path:
        raise bootstrap.Failed(reason)

    ways = (("first", lambda: fails_with("not on PATH")), ("second", lambda: fails_with("no network")))
    with pytest.raises(SystemExit) as ended:
        bootstrap.find_uv(ways)
    text = str(ended.value)
    assert "first: not on PATH" in text
    assert "second: no network" in text
    assert "Next:" in text


def test_pip_puts_uv_where_it_is_kept(places: Path) -> None:
    """A pip that writes a uv into its --target, as the real one does."""
    pip = program(
        places / "pip",
        'while [ $# -gt 0 ]; do [ "$1" = --target ] && target=$2; last=$1; shift; done\n'
        f'[ "$last" = uv=={bootstrap.UV_VERSION} ] || exit 9\n'
        "mkdir -p $target/bin; printf '#!/bin/sh\\necho uv 0.13.9\\n' > $target/bin/uv; chmod +x $target/bin/uv",
    )
    assert bootstrap.with_pip([pip]) == bootstrap.kept_uv()
    assert list((places / "cache/labs/uv").iterdir()) == [places / "cache/labs/uv" / bootstrap.UV_VERSION]


def test_an_interrupted_fetch_leaves_nothing(places: Path) -> None:
    pip = program(places / "pip", "exit 1")
    with pytest.raises(bootstrap.Failed):
        bootstrap.with_pip([pip])
    assert list((places / "cache/labs/uv").iterdir()) == []


def test_debians_way_needs_apt(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(places / "bin"))
    with pytest.raises(bootstrap.Failed, match="no apt-get"):
        bootstrap.by_debian()


def test_debians_way_leaves_the_system_alone(places: Path) -> None:
    """apt is given directories of our own for all that it writes."""
    log = places / "log"
    program(places / "bin/apt-get", f'echo "$@" >> {log}; exit 1')
    program(places / "bin/dpkg-deb", "exit 0")
    with pytest.raises(bootstrap.Failed):
        bootstrap.by_debian()
    words = log.read_text().split()
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    for key in ("Dir::State", "Dir::State::status", "Dir::State::Lists", "Dir::Cache"):
        assert Path(settings[key]).is_relative_to(places / "cache")


def stamped(groups: list[str], **changes: str) -> None:
    program(bootstrap.VENV / "bin/python", "exit 0")
    program(bootstrap.VENV / "bin/labs", "exit 0")
    stamp = {"digest": bootstrap.lock_digest(), "groups": groups, "at": str(bootstrap.VENV)}
    bootstrap.STAMP.write_text(json.dumps(stamp | changes))


def test_a_machine_without_authorities_uses_those_of_uv(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    store = places / "certs"
    monkeypatch.setattr(bootstrap, "AUTHORITIES", (str(store / "bundle.crt"), str(store / "*.0")))
    assert "UV_SYSTEM_CERTS" not in bootstrap.environment()
    for name in ("apt-get", "dpkg-deb"):
        program(places / "bin" / name, "exit 0")
    with pytest.raises(bootstrap.Failed, match="apt install ca-certificates"):
        bootstrap.by_debian()
    store.mkdir()
    (store / "0a1b2c3d.0").touch()
    assert bootstrap.environment()["UV_SYSTEM_CERTS"] == "true"
    (store / "0a1b2c3d.0").unlink()
    monkeypatch.setenv("SSL_CERT_FILE", str(store / "own.crt"))
    assert bootstrap.environment()["UV_SYSTEM_CERTS"] == "true"


def test_nothing_is_done_when_all_is_as_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "find_uv", lambda: pytest.fail("looked for uv"))
    stamped(["browser", "dev"])
    bootstrap.make([])
    bootstrap.make(["dev"])


@pytest.mark.parametrize(
    "why", ["no stamp", "lock changed", "group missing", "moved", "python gone", "nonsense"]
)
def test_the_environment_is_made_again_when_it_is_not(why: str) -> None:
    stamped(["dev"])
    assert bootstrap.is_current(["dev"])
    if why == "no stamp":
        bootstrap.STAMP.unlink()
    elif why == "lock changed":
        (bootstrap.REPOSITORY / "uv.lock").write_text("other")
    elif why == "moved":
        stamped(["dev"], at="/somewhere/else/.venv")
    elif why == "python gone":
        (bootstrap.VENV / "bin/python").unlink()
    elif why == "nonsense":
        bootstrap.STAMP.write_text('{"digest": ')
    assert not bootstrap.is_current(["browser"] if why == "group missing" else ["dev"])


def test_groups_are_not_forgotten(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamped(["browser"], digest="old")
    made: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "find_uv", lambda: places / "uv")
    monkeypatch.setattr(bootstrap, "sync", lambda uv, groups: made.append(list(groups)))
    bootstrap.make(["dev"])
    assert made == [["browser", "dev"]]
    assert bootstrap.is_current(["browser", "dev"])


def test_sync_runs_uv_from_the_lock_with_this_python(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = places / "log"
    uv = program(
        places / "uv", f'echo "$@" > {log}; echo "$UV_PYTHON_DOWNLOADS:$PYTHONDONTWRITEBYTECODE" >> {log}'
    )
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    bootstrap.sync(uv, ["dev"])
    words, environment = log.read_text().splitlines()
    assert "--frozen" in words
    assert "--compile-bytecode" in words
    assert "--group dev" in words
    assert f"--python {sys.executable}" in words
    assert environment == "never:"


def test_another_index_is_asked_and_not_the_addresses_of_the_lock(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    log = places / "log"
    uv = program(places / "uv", f'echo "$UV_DEFAULT_INDEX $@" >> {log}')
    bootstrap.sync(uv, [])
    lines = log.read_text().splitlines()
    assert all(line.startswith("https://mirror.example/simple ") for line in lines)
    assert not any(" sync " in f" {line} " for line in lines)
    assert any("--require-hashes" in line for line in lines)


def test_pip_conf_names_an_index_too(places: Path) -> None:
    (places / ".config/pip").mkdir(parents=True)
    (places / ".config/pip/pip.conf").write_text("[global]\nindex-url = https://a.example/s\n")
    assert bootstrap.index_settings()["UV_DEFAULT_INDEX"] == "https://a.example/s"


def test_a_failing_uv_is_told_in_its_own_words(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = program(places / "uv", "echo 'error: dns failed' >&2; exit 2")
    monkeypatch.setattr(bootstrap, "find_uv", lambda: uv)
    with pytest.raises(SystemExit, match="dns failed"):
        bootstrap.make([])
    assert not bootstrap.STAMP.exists()


def test_it_runs_without_anything_installed() -> None:
    """With -S and -I no site-packages and no environment are seen: the standard library has to do."""
    script = Path(__file__).parents[1] / "labsupport/bootstrap.py"
    done = subprocess.run([sys.executable, "-I", "-S", script, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--group" in done.stdout
