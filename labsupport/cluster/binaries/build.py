"""Programs built from Go modules, where no release can be had.

One program after another: two links at once would need twice the memory, and `go build` uses all cores
within one.
Go's build cache keeps each compiled package, so that an interrupted build goes on where it stopped.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from labsupport.cluster import process, versions
from labsupport.cluster.cachedir import size_of
from labsupport.cluster.versions import Program
from labsupport.console import Phase, phase
from labsupport.errors import LabsError
from labsupport.paths import private_directory

from . import Binary, find, store, toolchain

GB = 1 << 30


def build(
    programs: Sequence[Program], cache_dir: Path, tried: dict[str, list[str]], environ: Mapping[str, str]
) -> dict[str, Binary]:
    """Build programs and install them into the cache; why one could not be built is added to `tried`."""
    settings = versions.load().go
    scratch = private_directory(cache_dir / "build")
    try:
        require_space(scratch, settings.space_gb)
        go = toolchain.find(settings, cache_dir, environ)
    except LabsError as error:
        for program in programs:
            tried[program.name].append(
                f"build: {error.what}" + (f" (next: {error.fix})" if error.fix else "")
            )
        return {}
    built = {}
    title = f"building {len(programs)} programs with Go {go.version} (unofficial builds)"
    with phase(title) as progress:
        environment = go_environment(scratch, environ)
        minutes = max(program.cold_minutes or settings.cold_minutes for program in programs)
        count = Progress(progress, minutes, scratch / "gocache" / f"compiled-{go.version}.txt")
        for module, test in dict.fromkeys((program.module, program.test) for program in programs):
            part = [program for program in programs if (program.module, program.test) == (module, test)]
            try:
                packages = [program.package for program in part]
                count.expect(dependencies(go, module, packages, environment, count, test=test))
            except BuildFailed as error:
                for program in part:
                    tried[program.name].append(f"build: {error}")
        for program in programs:
            if not count.expects(program.package):
                continue
            try:
                built[program.name] = build_one(go, program, cache_dir, environment, count)
            except BuildFailed as error:
                tried[program.name].append(f"build: {error}")
    return built


class BuildFailed(Exception):
    """A build that failed, with Go's reason."""


class Progress:
    """How far a build is: Go names each package when it has compiled it, and is silent about those it had.

    So the names are kept in the file `record`, beside what was compiled, for the run after an interrupted one.
    """

    def __init__(self, progress: Phase, cold_minutes: float, record: Path) -> None:
        self._phase = progress
        self._record = record
        self._usual = f"usually {cold_minutes:.0f} min cold on 2 cores"
        self._dependencies: dict[str, frozenset[str]] = {}
        self._compiled = set(record.read_text().split()) if record.exists() else set()
        self._done: set[str] = set()
        self._downloaded = 0
        self._program = ""

    def expect(self, dependencies: Mapping[str, frozenset[str]]) -> None:
        """Packages (with those they need) that are going to be built."""
        self._dependencies |= dependencies
        self._done |= self._compiled & self._needed()

    def expects(self, package: str) -> bool:
        """Whether `expect` was told of this program's package."""
        return package in self._dependencies

    def begin(self, program: str) -> None:
        """Name what is built now."""
        self._program = program
        self._show()

    def finished(self, package: str) -> None:
        """A whole program is built, so all that it needs is."""
        self._add(self._dependencies.get(package, frozenset()))
        self._show()

    def line(self, line: str) -> None:
        """A line that `go list` or `go build -v` wrote."""
        if line.startswith("go: downloading "):
            self._downloaded += 1
            self._phase.update(f"downloading modules: {self._downloaded}")
        elif re.fullmatch(r"[\w.~+-]+(/[\w.~+-]+)*", line):
            self._add({line})
            self._show()

    def _add(self, packages: Set[str]) -> None:
        new = packages - self._done
        self._done |= new
        if new:
            self._record.parent.mkdir(parents=True, exist_ok=True)
            with self._record.open("a") as file:
                file.write("".join(f"{package}\n" for package in sorted(new)))

    def _needed(self) -> frozenset[str]:
        return frozenset[str]().union(*self._dependencies.values())

    @property
    def total(self) -> int:
        """Packages that all programs need, each counted once."""
        return len(self._needed())

    @property
    def done(self) -> int:
        """Packages known to be compiled."""
        return len(self._done)

    def _show(self) -> None:
        self._phase.update(f"{self._program}: compiled {self.done} of {self.total} packages, {self._usual}")


def go_environment(scratch: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of `go`: the user's own (GOPROXY, proxies, certificates), what decides the result set by us."""
    temporary = scratch / "tmp"
    if temporary.exists():
        shutil.rmtree(temporary, ignore_errors=True)  # what an interrupted link left: up to some hundred MB
    private_directory(temporary)
    kept = {
        key: value
        for key, value in environ.items()
        if key not in ("GOOS", "GOARCH", "GOEXPERIMENT", "GOROOT")
    }
    home = environ.get("HOME", str(scratch))
    configuration = Path(environ.get("XDG_CONFIG_HOME") or Path(home) / ".config")
    return kept | {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "-modcacherw -buildvcs=false",  # rw: else the module cache could not be removed with rm -r
        "GOMODCACHE": str(scratch / "gomod"),
        "GOCACHE": str(scratch / "gocache"),
        "GOTMPDIR": str(temporary),  # /tmp is often small and in memory
        "HOME": home,
        # go counts its own use in files below its configuration directory; its settings (`go env -w`) are still read.
        "XDG_CONFIG_HOME": str(scratch / "config"),
        "GOENV": environ.get("GOENV") or str(configuration / "go/env"),
    }


def dependencies(
    go: toolchain.Go,
    module: Path,
    packages: Sequence[str],
    environment: Mapping[str, str],
    count: Progress,
    *,
    test: bool = False,
) -> dict[str, frozenset[str]]:
    """All packages that each of `packages` (with `test`: the tests in it) needs, itself included.

    Downloads the modules' sources.
    """
    options = ["-test"] if test else []
    result = process.run(
        [go.path, "list", *options, "-f", '{{.ImportPath}} {{join .Deps " "}}', *packages],
        cwd=module,
        env=environment,
        on_line=lambda line: count.line(line) if line.startswith("go: ") else None,
    )
    if not result.ok:
        raise BuildFailed(explain(result, "go list"))
    lines = [line.split() for line in result.stdout.splitlines() if line]
    if test:
        # The tests' program is listed as PACKAGE.test; "PACKAGE [PACKAGE.test]" is the package compiled with its tests.
        known = {words[0]: words for words in lines if len(words) > 1 and not words[1].startswith("[")}
        lines = [known[f"{package}.test"] for package in packages]
    return {
        package: frozenset(word for word in words if not word.startswith("["))
        for package, words in zip(packages, lines, strict=True)
    }


def build_one(
    go: toolchain.Go, program: Program, cache_dir: Path, environment: Mapping[str, str], count: Progress
) -> Binary:
    """Build one program, ask it for its version, and move it into the cache."""
    output = private_directory(cache_dir / "build" / "out") / program.name
    stamp = " ".join(f"-X {setting}" for setting in program.stamp)
    options = ["-trimpath", "-ldflags", f"-s -w {stamp}"]
    options += ["-tags", ",".join(program.tags)] if program.tags else []

    def go_run(words: Sequence[str | Path]) -> None:
        result = process.run(
            [go.path, *words],
            cwd=program.module,
            env=environment,
            on_line=count.line,
            keep=process.KEPT_LINES,
        )
        if not result.ok:
            raise BuildFailed(explain(result, f"go {words[0]} {program.package}"))

    count.begin(program.name)
    if program.test:
        # `go test` names no package while it compiles, so that what it needs is compiled first, by a command that does.
        go_run(["build", "-v", *options, *test_imports(go, program, environment)])
        go_run(["test", "-c", *options, "-o", output, program.package])
    else:
        go_run(["build", "-v", *options, "-o", output, program.package])
    count.finished(program.package)
    try:
        version, unofficial = find.probe(program, output)
    except ValueError as error:
        raise BuildFailed(f"{output}: {error}") from None
    if version != program.version or not (unofficial or not program.unofficial_pattern):
        raise BuildFailed(f"{output} says version {version}, unofficial: {unofficial}")
    return store.install(
        cache_dir, output, name=program.name, version=version, origin="built", unofficial=True
    )


def test_imports(go: toolchain.Go, program: Program, environment: Mapping[str, str]) -> list[str]:
    """The packages that a package's tests import."""
    words = '{{join .TestImports " "}} {{join .XTestImports " "}}'
    result = process.run([go.path, "list", "-f", words, program.package], cwd=program.module, env=environment)
    if not result.ok:
        raise BuildFailed(explain(result, "go list"))
    return sorted(set(result.stdout.split()) - {program.package})


def explain(result: process.Finished, what: str) -> str:
    """Why Go failed, in words that name the usual causes."""
    reason = result.reason(4)
    if "no space left on device" in result.stderr:
        return (
            f"{what}: the disk is full (free some space; the build then goes on where it stopped): {reason}"
        )
    if result.status == -9 or "signal: killed" in result.stderr:
        return f"{what}: killed, most likely for lack of memory (linking needs about 2 GB): {reason}"
    return f"{what}: {reason}"


def require_space(scratch: Path, needed_gb: float) -> None:
    """LabsError when a build cannot fit; what an earlier build left counts as done."""
    free = shutil.disk_usage(scratch).free
    if free >= needed_gb * GB:
        return
    there = sum(size_of(scratch / name) for name in ("gocache", "gomod"))
    if free + there < needed_gb * GB:
        raise LabsError(
            f"a build needs about {needed_gb:.0f} GB under {scratch}: {there / GB:.1f} GB are there and "
            f"{free / GB:.1f} GB are free",
            fix="free some space, or set XDG_CACHE_HOME to a place that has it",
        )
