"""The helper is in every Pod: it stays small, and starts fast, by what it does not import."""

from __future__ import annotations

import subprocess
import sys

LARGE = ("asyncio", "http", "email", "logging", "urllib.request", "tempfile", "pathlib", "multiprocessing")
OTHERS = ("cryptography", "google", "grpc", "kubernetes", "pydantic", "yaml", "urllib3", "labsupport.kube")


def test_the_helper_imports_nothing_large_and_nothing_that_is_not_pythons_own() -> None:
    program = (
        "import sys; import labsupport.mesh.proxy.__main__, labsupport.mesh.proxy.capture; "
        f"print(*[name for name in {(*LARGE, *OTHERS)!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
