"""What builds and runs exported programs for aarch64."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from typing import Any

import pytest

QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


@pytest.fixture
def zig(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The command that compiles and links for aarch64; what it emits can be run, too."""
    if find_spec("ziglang") is None:
        pytest.skip("needs the package ziglang, which links for aarch64")
    if QEMU is None:
        pytest.skip("needs qemu-aarch64, of the Debian package qemu-user-static")
    cache: Any = request.config.cache
    for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
        monkeypatch.setenv(name, str(cache.mkdir("zig")))
    return f"{sys.executable} -m ziglang cc -target aarch64-linux-musl"
