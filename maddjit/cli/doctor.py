"""``maddjit doctor``: shows what this machine can run, and tries it."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from maddjit.cli.answers import Answer, table
from maddjit.cli.commands import add_command
from maddjit.cli.doctor_platform import WRONG, CheckSample, Finding, findings, fitted_sample
from maddjit.compiler import cache
from maddjit.compiler.llvm import LLVM_VERSION, host
from maddjit.compiler.target import (
    BFLOAT16,
    ENVIRONMENT_VARIABLE,
    LEVELS,
    missing_features,
    named,
    resolve,
    runnable,
)
from maddjit.learning.strassen_tile.fit import fit_strassen_tile
from maddjit.pipeline import compile
from maddjit.reference.maddness import apply
from maddjit.reference.strassen_tile import error_bound
from maddjit.version import __version__

_ALIASES = {"abm": "lzcnt", "3dnowprefetch": "prfchw", "bmi1": "bmi", "asimd": "neon"}
"""Names that the operating system gives features → LLVM's names of the same features."""
_PACKAGES = (
    *("numpy", "scipy", "llvmlite", "jinja2", "py-cpuinfo"),
    *("tqdm", "matplotlib", "threadpoolctl", "ml-dtypes", "onnx", "onnxruntime"),
    *("safetensors", "torch"),
)
"""The packages whose versions are printed: needed ones first, then those of extras."""


def add(commands: Any) -> None:
    """Add the command."""
    add_command(
        commands,
        "doctor",
        _doctor,
        "show what this machine can run, and try it",
        "Show the CPU's features and the feature levels that this machine can run, and compile\n"
        "and run a small model at each of them. The exit status is 1 if any result is wrong.",
    )


@dataclass(frozen=True)
class _Health:
    """The findings of the doctor: what the machine is, and whether code is right on it.

    Attributes
    ----------
    brand : str
        The CPU's name.
    features : dict of str to dict
        For each feature that a level needs, which detectors see it.
    versions : dict of str to str or None
    levels : dict of str to dict
        What was found of each feature level.
    chosen : str or None
        The level that `maddjit.compile` takes.
    why : str
    tiles_right : bool or None
    platform : dict of str to Finding
    """

    brand: str
    features: dict[str, dict[str, bool]]
    versions: dict[str, str | None]
    levels: dict[str, dict[str, Any]]
    chosen: str | None
    why: str
    tiles_right: bool | None
    platform: dict[str, Finding]

    @property
    def is_healthy(self) -> bool:
        tried = [self.tiles_right, *(level["right"] for level in self.levels.values())]
        return not any(
            right is False for right in tried + [f.right for f in self.platform.values()]
        )


def _doctor(_: argparse.Namespace) -> Answer:
    """Ask every detector, and compare an operator of each level with its definition."""
    health, machine = _examined(), host()
    facts = {
        "healthy": health.is_healthy,
        "cpu": {"brand": health.brand, "llvm": machine.cpu, "triple": machine.triple},
        "versions": {
            "maddjit": __version__,
            "python": sys.version.split()[0],
            **health.versions,
        },
        "levels": health.levels,
        "chosen": health.chosen,
        "why": health.why,
        "tiles_right": health.tiles_right,
        "features": health.features,
        "platform": health.platform,
        "cache": cache.info(),
    }
    return Answer("\n".join(_told(health)), facts, 0 if health.is_healthy else 1)


def _examined() -> _Health:
    """Return what the detectors see, and how compiled code fared."""
    import cpuinfo  # takes over a second

    cpu = cpuinfo.get_cpu_info()
    seen = {
        "LLVM": set(host().features),
        "cpuinfo": _normalised(cpu.get("flags", ())),
        "/proc/cpuinfo": _proc_flags(),
    }
    sample = fitted_sample()
    chosen, why = _level_taken()
    wanted = sorted({f for level in LEVELS for f in named(level).requires} | {BFLOAT16})
    asked = {name: flags for name, flags in seen.items() if flags}
    return _Health(
        brand=cpu.get("brand_raw", "unknown"),
        features={f: {name: f in flags for name, flags in asked.items()} for f in wanted},
        versions={name: _version(name) for name in _PACKAGES},
        levels={name: _tried(name, seen, sample) for name in LEVELS},
        chosen=chosen,
        why=why,
        tiles_right=_tiles_right(sample) if chosen else None,
        platform=findings(sample, chosen),
    )


def _told(health: _Health) -> list[str]:
    """Return the findings as lines of text."""
    said = (f"{name} {number}" for name, number in health.versions.items() if number)
    missing = (name for name, number in health.versions.items() if not number)
    lines = [
        f"cpu              {health.brand}; LLVM calls it {host().cpu}",
        f"system           {platform.platform()}, Python {platform.python_version()}",
        f"versions         maddjit {__version__}, LLVM {LLVM_VERSION}, {', '.join(said)}",
        f"not-installed    {', '.join(missing) or 'nothing'}",
        *(f"{name:<16} {finding.words}" for name, finding in health.platform.items()),
        *(f"{name:<16} {level['words']}" for name, level in health.levels.items()),
        f"chosen           {health.chosen or 'none'}: {health.why}",
    ]
    if health.tiles_right is not None:
        lines.append(f"tiles            {'right' if health.tiles_right else WRONG}")
    detectors = next(iter(health.features.values()))
    rows = [("feature", *detectors)]
    rows += [
        (feature, *("yes" if has else "-" for has in by.values()))
        for feature, by in health.features.items()
    ]
    return [*lines, table(rows)]


def _tried(name: str, seen: dict[str, set[str]], sample: CheckSample) -> dict[str, Any]:
    """Return the features that a level lacks here; if it lacks none, whether its code is right."""
    level = named(name)
    missing = missing_features(level, host())
    if missing:
        return {"right": None, "missing": missing, "words": f"lacks {', '.join(missing)}"}
    doubts = {
        by: sorted(level.requires - flags) for by, flags in seen.items() if level.requires - flags
    }
    right = bool(
        np.array_equal(compile(sample.model, name)(sample.A), apply(sample.model, sample.A))
    )
    words = "right" if right else WRONG
    words += "".join(f"; {by} misses {', '.join(f)}" for by, f in doubts.items() if seen[by])
    return {"right": right, "missing": [], "words": words}


def _tiles_right(sample: CheckSample) -> bool:
    """Return whether a Strassen-Tile operator is within its proven bound of the definition."""
    A, model = sample.A, fit_strassen_tile(sample.B, tile=2)
    return bool((np.abs(compile(model)(A) - apply(model, A)) <= error_bound(model, A)).all())


def _level_taken() -> tuple[str | None, str]:
    """Return the level that `maddjit.compile` takes, and why."""
    machine = host()
    told = os.environ.get(ENVIRONMENT_VARIABLE) or None
    if told and told != "host":
        try:
            return resolve(told, machine).name, f"{ENVIRONMENT_VARIABLE} says so"
        except ValueError as error:
            return None, f"{ENVIRONMENT_VARIABLE}: {error}"
    levels = [level.name for level in runnable(machine)]
    if not levels:
        return None, f"no level is for {machine.triple}"
    better = [
        name
        for name in LEVELS[LEVELS.index(levels[-1]) + 1 :]
        if named(name).triple.partition("-")[0] == machine.architecture
    ]
    why = "the best that LLVM and the operating system grant"
    if better:
        lacking = ", ".join(missing_features(named(better[0]), machine))
        return levels[-1], f"{why}; {better[0]} lacks {lacking}"
    return levels[-1], f"{why}, and the highest that maddjit knows for {machine.architecture}"


def _normalised(flags: Any) -> set[str]:
    """Return features under LLVM's names."""
    bare = (str(flag).replace("_", "") for flag in flags)
    return {_ALIASES.get(flag, flag) for flag in bare}


def _proc_flags() -> set[str]:
    """Return the features that Linux lists for the first CPU; none on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return _normalised(value.split())
    return set()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
