"""Make the project's environment (`.venv`) on a machine that has no more than python3, and say how it went.

Run by path, with any Python from 3.11 on: `python3 labsupport/bootstrap.py [--group dev] [--group browser]`.
Standard library only, and nothing of the package is imported: nothing of it may be installed yet.

The environment itself is made by uv from uv.lock. What this file adds is finding uv, in the order of `WAYS`:
the last ones serve a plain Debian, whose python3 has neither pip nor ensurepip. No registry is named here:
pip,
uv and apt use their own settings (PIP_INDEX_URL, pip.conf, UV_DEFAULT_INDEX, HTTPS_PROXY, SSL_CERT_FILE).
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

UV_VERSION = "0.13.9"  # what we fetch; the format of uv.lock (revision 5) is its own
UV_OLDEST = (0, 13)  # the oldest uv on PATH that we take
REPOSITORY = Path(__file__).resolve().parent.parent
VENV = REPOSITORY / ".venv"
STAMP = VENV / "labs-environment.json"
PYTHON_OLDEST = (3, 11)
# Where distributions keep their authorities (rustls-native-certs, which uv uses, looks in the same places).
AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs/*.0",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
TAIL = 3  # lines of a failed command that a reason quotes


class Failed(Exception):
    """One way did not work; the text says why, in a line or two."""


def say(text: str) -> None:
    """Progress, on stderr: standard output stays free."""
    print(f"  {text}", file=sys.stderr, flush=True)


def environment() -> dict[str, str]:
    """Environment for pip, uv and apt: the caller's, without what would change whose packages are seen."""
    # PYTHONDONTWRITEBYTECODE would make --compile-bytecode useless, and every start of `labs` slow.
    unwanted = {
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONDONTWRITEBYTECODE",
        "VIRTUAL_ENV",
        "UV_PROJECT_ENVIRONMENT",
    }
    env = {name: value for name, value in os.environ.items() if name not in unwanted}
    env["UV_PYTHON_DOWNLOADS"] = "never"
    if has_authorities():  # a proxy's own authority is in the system's store, not in uv's
        env.setdefault("UV_SYSTEM_CERTS", "true")
    env.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    env.setdefault("UV_LINK_MODE", "hardlink" if _same_file_system() else "copy")
    return env


def has_authorities() -> bool:
    """Whether this machine has a store of certificate authorities.

    A minimal Debian has none, and uv then refuses to use it even where nothing is to be fetched.
    """
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        return True
    return any(next(Path(place).parent.glob(Path(place).name), None) for place in AUTHORITIES)


def _same_file_system() -> bool:
    """Whether uv's cache and the environment can share files (else uv warns about it on every package)."""
    cache = Path(os.environ.get("UV_CACHE_DIR") or cache_directory().parent)
    while not cache.exists():
        cache = cache.parent
    return cache.stat().st_dev == REPOSITORY.stat().st_dev


def cache_directory() -> Path:
    """`labs` in the user's cache directory (XDG Base Directory Specification); not made here."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "labs"


def run(
    argv: Sequence[str | Path],
    *,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 900,
) -> str:
    """Run a command without input and return what it printed. Raises Failed with the last lines it said."""
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            env=env or environment(),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except OSError as error:
        raise Failed(f"{Path(argv[0]).name}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{Path(argv[0]).name}: no end within {timeout:.0f} s") from error
    if done.returncode != 0:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise Failed("; ".join(said[-TAIL:]) or f"{Path(argv[0]).name}: exit status {done.returncode}")
    return done.stdout


def checked_uv(program: Path) -> Path:
    """Return `program` if it runs and is new enough. Raises Failed otherwise."""
    words = run([program, "--version"], timeout=30).split()
    version = words[1] if len(words) > 1 else ""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < UV_OLDEST:
        oldest = ".".join(map(str, UV_OLDEST))
        raise Failed(f"{program} is {version or 'of no known version'}; {oldest} or newer is needed")
    return program


def kept_uv() -> Path:
    """Where the uv that we fetched ourselves is kept."""
    return cache_directory() / "uv" / UV_VERSION / "bin" / "uv"


def from_cache() -> Path:
    """The uv that an earlier run fetched."""
    if not kept_uv().exists():
        raise Failed(f"none in {kept_uv().parent}")
    return checked_uv(kept_uv())


def from_path() -> Path:
    """The uv that the user has."""
    found = shutil.which("uv")
    if found is None:
        raise Failed("not on PATH")
    return checked_uv(Path(found))


@contextmanager
def fetching_place() -> Iterator[Path]:
    """A directory beside the kept one; only a whole fetch takes its name."""
    parent = cache_directory() / "uv"
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".fetch-") as name:
        yield Path(name)


def keep(fetched: Path) -> Path:
    """Move a fetched tree (with bin/uv) to where uv is kept."""
    checked_uv(fetched / "bin" / "uv")
    place = kept_uv().parent.parent
    shutil.rmtree(place, ignore_errors=True)
    fetched.rename(place)
    return kept_uv()


def with_pip(pip: Sequence[str | Path], env: dict[str, str] | None = None) -> Path:
    """Fetch uv by a pip. `--target` leaves the system's own packages alone (PEP 668 does not forbid it)."""
    with fetching_place() as place:
        target = place / "uv"
        options: list[str | Path] = [
            "--quiet",
            "--no-input",
            "--only-binary",
            ":all:",
            "--no-deps",
            "--target",
            target,
        ]
        run([*pip, "install", *options, f"uv=={UV_VERSION}"], env=env)
        return keep(target)


def by_own_pip() -> Path:
    """By the pip of this Python."""
    run([sys.executable, "-m", "pip", "--version"], timeout=60)
    return with_pip([sys.executable, "-m", "pip"])


def by_venv() -> Path:
    """By the pip that Python's venv module puts into a new environment (Debian packages it apart)."""
    with fetching_place() as place:
        run([sys.executable, "-m", "venv", place / "venv"], timeout=120)
        return with_pip([place / "venv" / "bin" / "python", "-m", "pip"])


def by_debian() -> Path:
    """By the pip in Debian's package python3-pip-whl, unpacked and not installed: needs no root."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise Failed(f"no {program} here")
    if not has_authorities():
        # Debian's pip knows no certificates but the system's, and does not even start without them.
        raise Failed("no certificate authorities on this machine (Debian: `apt install ca-certificates`)")
    with fetching_place() as place:
        for name in ("lists/partial", "cache/archives/partial", "unpacked"):
            (place / name).mkdir(parents=True)
        (place / "status").touch()
        # A private state directory: an ordinary user may not touch the system's, and root has no reason to.
        settings = {
            "Dir::State": place,
            "Dir::State::status": place / "status",
            "Dir::State::Lists": place / "lists",
            "Dir::Cache": place / "cache",
            "Debug::NoLocking": 1,
            "APT::Sandbox::User": "",
        }
        options = (word for key, value in settings.items() for word in ("-o", f"{key}={value}"))
        apt = ["apt-get", "-q", *options]
        run([*apt, "update"], timeout=300)
        run([*apt, "download", "python3-pip-whl"], cwd=place / "cache", timeout=300)
        packages = sorted((place / "cache").glob("python3-pip-whl_*.deb"))
        if not packages:
            raise Failed("apt-get downloaded no package python3-pip-whl")
        run(["dpkg-deb", "-x", packages[0], place / "unpacked"])
        wheels = sorted((place / "unpacked" / "usr/share/python-wheels").glob("pip-*.whl"))
        if not wheels:
            raise Failed("the package python3-pip-whl holds no wheel of pip")
        # A wheel is a zip file, and Python imports from those.
        env = {**environment(), "PYTHONPATH": str(wheels[0])}
        return with_pip([sys.executable, "-m", "pip"], env)


WAYS: tuple[tuple[str, Callable[[], Path]], ...] = (
    ("uv on PATH", from_path),
    ("uv kept by an earlier run", from_cache),
    ("python3 -m pip", by_own_pip),
    ("python3 -m venv", by_venv),
    ("Debian's python3-pip-whl by apt", by_debian),
)


def find_uv(ways: Sequence[tuple[str, Callable[[], Path]]] = WAYS) -> Path:
    """The first uv that one of the ways gives. Raises SystemExit naming each way and why it failed."""
    reasons = []
    for name, way in ways:
        try:
            if way in (by_own_pip, by_venv, by_debian):
                say(f"fetching uv {UV_VERSION}: {name}")
            return way()
        except Failed as failure:
            reasons.append(f"{name}: {failure}")
    tried = "\n".join(f"  - {reason}" for reason in reasons)
    raise SystemExit(
        f"No way to get uv, which makes the project's environment. Tried:\n{tried}\n"
        "Next: set HTTPS_PROXY, PIP_CERT or PIP_INDEX_URL if this machine needs them for its package index,\n"
        "or install uv or python3-venv (Debian: `apt install python3-venv`); then run the same command again."
    )


def index_settings() -> dict[str, str]:
    """uv's variables for the package index that the user chose for pip or for uv; {} when none was chosen.

    Source: pip's "Configuration" (PIP_* over PIP_CONFIG_FILE over the user's over the system's pip.conf).
    """
    chosen = {
        name: os.environ[name]
        for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX")
        if os.environ.get(name)
    }
    if chosen:
        return chosen
    files = [
        "/etc/pip.conf",
        "~/.pip/pip.conf",
        "~/.config/pip/pip.conf",
        os.environ.get("PIP_CONFIG_FILE", ""),
    ]
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read([Path(file).expanduser() for file in files if file])
    except configparser.Error:
        return {}
    index = os.environ.get("PIP_INDEX_URL") or parser.get("global", "index-url", fallback="")
    extra = os.environ.get("PIP_EXTRA_INDEX_URL") or parser.get("global", "extra-index-url", fallback="")
    settings = {"UV_DEFAULT_INDEX": index or "", "UV_INDEX": " ".join((extra or "").split())}
    return {name: value for name, value in settings.items() if value}


def lock_digest() -> str:
    """Digest of all that decides what the environment holds."""
    digest = hashlib.sha256()
    for name in ("uv.lock", "pyproject.toml", "labsupport/bootstrap.py"):
        digest.update((REPOSITORY / name).read_bytes() + b"\0")
    return digest.hexdigest()


def is_current(groups: Sequence[str]) -> bool:
    """Whether an earlier run made this very environment, with these groups or more."""
    try:
        stamp = json.loads(STAMP.read_text())
        known = stamp["digest"] == lock_digest() and set(groups) <= set(stamp["groups"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    # A Python that was upgraded or removed leaves a dangling link; a moved clone, stale programs.
    return (
        known
        and (VENV / "bin/python").exists()
        and stamp.get("at") == str(VENV)
        and (VENV / "bin/labs").exists()
    )


def recorded_groups() -> set[str]:
    """Groups that the environment holds already: a later, smaller request must not forget them."""
    try:
        return set(json.loads(STAMP.read_text())["groups"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def chosen_python() -> str:
    """The environment's own Python if it works, so that `make` from another shell does not make it anew."""
    own = VENV / "bin/python"
    try:
        version = run([own, "-c", "import sys; print(*sys.version_info[:2])"], timeout=30)
        if tuple(map(int, version.split())) >= PYTHON_OLDEST:
            return str(own)
    except Failed:
        pass
    return sys.executable


def sync(uv: Path, groups: Sequence[str]) -> None:
    """Make the environment as uv.lock says. Raises Failed."""
    python = chosen_python()
    wanted = [word for group in groups for word in ("--group", group)]
    index = index_settings()
    env = {**environment(), **index}
    common = ["--no-progress", "--color", "never", "--python"]
    if not index:
        sync_whole = ["sync", "--frozen", "--inexact", "--compile-bytecode", "--no-default-groups", *wanted]
        run([uv, *sync_whole, *common, python], env=env, cwd=REPOSITORY)
        return
    # `uv sync` takes files from the addresses in uv.lock; only names and digests are to come from there.
    if not (VENV / "bin/python").exists():
        run([uv, "venv", "--allow-existing", *common, python, VENV], env=env, cwd=REPOSITORY)
    with tempfile.TemporaryDirectory() as scratch:
        listed = str(Path(scratch) / "requirements.txt")
        export = ["export", "--frozen", "--no-emit-project", "--no-default-groups", *wanted]
        run([uv, *export, "--output-file", listed], env=env, cwd=REPOSITORY)
        install = ["pip", "install", "--compile-bytecode", *common, str(VENV / "bin/python")]
        run([uv, *install, "--require-hashes", "-r", listed], env=env, cwd=REPOSITORY)
        run([uv, *install, "--no-deps", "--editable", str(REPOSITORY)], env=env, cwd=REPOSITORY)


def make(groups: Sequence[str]) -> None:
    """Make the environment, or do nothing when it is as it should be. Raises SystemExit with what to do."""
    if is_current(groups):
        return
    if sys.version_info < PYTHON_OLDEST:
        raise SystemExit(f"{sys.executable} is too old. Next: make PYTHON=/path/to/a/python3.11-or-newer")
    began = time.monotonic()
    uv = find_uv()
    everything = sorted(set(groups) | recorded_groups())
    say(f"making {VENV.name} with {uv} (some 130 packages; usually under a minute)")
    try:
        sync(uv, everything)
    except Failed as failure:
        raise SystemExit(
            f"uv could not make {VENV}: {failure}\n"
            "Next: check the network (HTTPS_PROXY, SSL_CERT_FILE, PIP_INDEX_URL count), then run it again."
        ) from failure
    if uv == kept_uv():
        # `labs` fetches the node's own Python packages with it.
        (VENV / "bin/uv").unlink(missing_ok=True)
        (VENV / "bin/uv").symlink_to(uv)
    STAMP.write_text(json.dumps({"digest": lock_digest(), "groups": everything, "at": str(VENV)}))
    say(f"environment ready ({time.monotonic() - began:.1f} s)")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and make the environment."""
    parser = argparse.ArgumentParser(description="Make the project's environment, .venv, from uv.lock.")
    parser.add_argument(
        "--group", action="append", default=[], help="a dependency group of pyproject.toml as well"
    )
    arguments = parser.parse_args(argv)
    try:
        make(arguments.group)
    except KeyboardInterrupt:
        print("interrupted; run the same command again, it goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
