"""The test root: what the images of Kubernetes' own tests have over the course root, made once and kept in the cache.

Debian packages of pinned versions as for the course root, the files of clusters/conformance/files, and a certificate
that is made here.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from pathlib import Path

from labsupport import paths
from labsupport.cluster import courseroot
from labsupport.cluster.cachedir import explained_if_full
from labsupport.cluster.courseroot import finish
from labsupport.cluster.courseroot import make as courseroot_make
from labsupport.console import phase

DIRECTORY = paths.CLUSTERS / "conformance"
NAME = "test-root"
FILES = DIRECTORY / "files"
STEPS = 1  # raise it when the code here makes another tree from the same description
CERTIFICATE_LIFE = datetime.timedelta(days=3650)


def location(cache_dir: Path, owner_base: int | None) -> Path:
    """Where the test root of this machine is, made or not; `owner_base` as for the course root."""
    description = courseroot.load(DIRECTORY, name=NAME)
    parts = {
        "steps": STEPS,
        "source": description.source,
        "pins": {name: [pin.version, pin.sha256] for name, pin in description.pins.items()},
        "over": courseroot.digest(courseroot.load(), owner_base),
        "files": {str(path.relative_to(FILES)): path.read_text() for path in _files()},
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return cache_dir / "course-root" / f"tests-{key}"


def ensure(cache_dir: Path, below: courseroot.CourseRoot, owner_base: int | None) -> Path:
    """The test root that lies over `below`, made if it is not in the cache. LabsError when it cannot be made."""
    directory = location(cache_dir, owner_base)
    if not (directory / "manifest.json").exists():
        with explained_if_full(cache_dir):
            courseroot_make.in_one_step(
                directory, lambda temporary: _make(temporary, cache_dir, below, owner_base)
            )
    return directory / "root"


def _files() -> list[Path]:
    return sorted(path for path in FILES.rglob("*") if path.is_file())


def _make(temporary: Path, cache_dir: Path, below: courseroot.CourseRoot, owner_base: int | None) -> None:
    description = courseroot.load(DIRECTORY, name=NAME)
    root = temporary / "root"
    with phase("test root: Debian packages") as progress:
        packages, deviations = courseroot_make.collect(
            description, cache_dir, cache_dir / "downloads" / "debs", progress
        )
        # Where no lock was made for this release, all that the packages need was resolved.
        packages = [package for package in packages if package.name not in below.packages]
        courseroot_make.unpack(packages, root, description.drop, progress, keep_owners=owner_base is not None)
        for name, target in description.links.items():
            (root / name).symlink_to(target)
        for path in _files():
            copy = root / path.relative_to(FILES)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(0o644)
        write_accounts(root, below.path, description)
        _write_certificate(root)
        (root / "uploads").mkdir()
        root.chmod(0o755)
        if owner_base is not None:
            finish.give_to(root, owner_base)
    manifest = {
        "over": below.digest,
        "packages": {package.name: package.version for package in packages},
        "deviations": deviations,
    }
    (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def write_accounts(root: Path, below: Path, description: courseroot.Description) -> None:
    """The course root's users and groups, with the description's in place of those that have the same id."""
    for file, lines, taken in (
        (
            "passwd",
            [
                f"{name}:x:{number}:{number}::/home/{name}:/bin/sh"
                for name, number in description.users.items()
            ],
            set(description.users.values()),
        ),
        (
            "group",
            [
                *(f"{name}:x:{number}:" for name, number in description.users.items()),
                *(f"{name}:x:{number}:{member}" for name, (number, member) in description.groups.items()),
            ],
            {*description.users.values(), *(number for number, _ in description.groups.values())},
        ),
    ):
        kept = [
            line
            for line in (below / "etc" / file).read_text().splitlines()
            if int(line.split(":")[2]) not in taken
        ]
        (root / "etc").mkdir(exist_ok=True)
        (root / "etc" / file).write_text("".join(f"{line}\n" for line in [*kept, *lines]))


def _write_certificate(root: Path) -> None:
    """A certificate for localhost and its key, which agnhost's image has in its root directory."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + CERTIFICATE_LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (root / "localhost.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (root / "localhost.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
