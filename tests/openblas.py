"""What OpenBLAS is told of the CPU, so that NumPy's products round as on a machine of one level."""

from __future__ import annotations

CORES = {
    "x86-64": "Nehalem",
    "x86-64-v3": "Haswell",
    "x86-64-v4": "SkylakeX",
    "x86-64-v4-vbmi": "SkylakeX",
    "aarch64": "ARMV8",
}
"""OpenBLAS's own name of a CPU of each level."""


def environment(level: str | None) -> dict[str, str]:
    """Return the variables that OpenBLAS reads when NumPy is imported; none without a level."""
    return {"OPENBLAS_CORETYPE": CORES[level]} if level in CORES else {}
