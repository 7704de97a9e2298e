"""``maddjit doctor`` and ``maddjit cache``: what runs here, what is kept of compiled code."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from maddjit.cli.answers import Answer, table
from maddjit.cli.platform import Sample, fitted_sample, states
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
"""The operating system's names of features, by LLVM's."""
_PACKAGES = ("numpy", "scipy", "llvmlite", "jinja2", "py-cpuinfo")
_OPTIONAL = ("tqdm", "matplotlib", "threadpoolctl", "ml-dtypes", "onnx", "onnxruntime")
_OPTIONAL_TOO = ("safetensors", "torch")


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    asked = commands.add_parser(
        "doctor", parents=[common], help="show what this machine can run, and try it"
    )
    asked.set_defaults(run=_doctor)
    kept = commands.add_parser(
        "cache", parents=[common], help="show or empty the cache of compiled code"
    )
    kept.add_argument("action", choices=("info", "clear"))
    kept.set_defaults(run=_cache)


def _cache(options: argparse.Namespace) -> Answer:
    removed = cache.clear() if options.action == "clear" else None
    found = cache.info()
    lines = [] if removed is None else [f"removed {removed} objects"]
    facts: dict[str, Any] = {} if removed is None else {"removed": removed}
    return Answer("\n".join([*lines, str(found)]), {**facts, "cache": found})


def _doctor(_: argparse.Namespace) -> Answer:
    """Ask every detector, and compare an operator of each level with its definition."""
    import cpuinfo  # takes over a second

    machine, cpu = host(), cpuinfo.get_cpu_info()
    seen = {
        "LLVM": set(machine.features),
        "cpuinfo": _normalised(cpu.get("flags", ())),
        "/proc/cpuinfo": _proc_flags(),
    }
    brand = cpu.get("brand_raw", "unknown")
    installed = {name: _version(name) for name in (*_PACKAGES, *_OPTIONAL, *_OPTIONAL_TOO)}
    sample = fitted_sample()
    levels = {name: _tried(name, seen, sample) for name in LEVELS}
    chosen, why = _chosen()
    tiles = _tiles_right(sample) if chosen else None
    platform_states = states(sample, chosen)
    found = [tiles, *(level["right"] for level in levels.values())]
    healthy = not any(
        right is False for right in found + [s.right for s in platform_states.values()]
    )
    wanted = sorted({f for level in LEVELS for f in named(level).requires} | {BFLOAT16})
    asked = {name: flags for name, flags in seen.items() if flags}
    features = {f: {name: f in flags for name, flags in asked.items()} for f in wanted}
    said = (f"{name} {number}" for name, number in installed.items() if number)
    missing = (name for name, number in installed.items() if not number)
    lines = [
        f"cpu              {brand}; LLVM calls it {machine.cpu}",
        f"system           {platform.platform()}, Python {platform.python_version()}",
        f"versions         maddjit {__version__}, LLVM {LLVM_VERSION}, {', '.join(said)}",
        f"not-installed    {', '.join(missing) or 'nothing'}",
        *(f"{name:<16} {state.words}" for name, state in platform_states.items()),
        *(f"{name:<16} {level['words']}" for name, level in levels.items()),
        f"chosen           {chosen or 'none'}: {why}",
    ]
    if tiles is not None:
        lines.append(f"tiles            {'right' if tiles else 'WRONG: please report this'}")
    rows = [("feature", *asked)]
    rows += [(f, *("yes" if has else "-" for has in by.values())) for f, by in features.items()]
    facts = {
        "healthy": healthy,
        "cpu": {"brand": brand, "llvm": machine.cpu, "triple": machine.triple},
        "versions": {"maddjit": __version__, "python": sys.version.split()[0], **installed},
        "levels": levels,
        "chosen": chosen,
        "why": why,
        "tiles_right": tiles,
        "features": features,
        "platform": platform_states,
        "cache": cache.info(),
    }
    return Answer("\n".join([*lines, table(rows)]), facts, 0 if healthy else 1)


def _tried(name: str, seen: dict[str, set[str]], sample: Sample) -> dict[str, Any]:
    """Return what is missing for a level; if nothing is, whether its code is right."""
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
    words = "right" if right else "WRONG: please report this"
    words += "".join(f"; {by} misses {', '.join(f)}" for by, f in doubts.items() if seen[by])
    return {"right": right, "missing": [], "words": words}


def _tiles_right(sample: Sample) -> bool:
    A, model = sample.A, fit_strassen_tile(sample.B, tile=2)
    return bool((np.abs(compile(model)(A) - apply(model, A)) <= error_bound(model, A)).all())


def _chosen() -> tuple[str | None, str]:
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
    bare = (str(flag).replace("_", "") for flag in flags)
    return {_ALIASES.get(flag, flag) for flag in bare}


def _proc_flags() -> set[str]:
    """Return what Linux says of the first CPU; nothing elsewhere."""
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
