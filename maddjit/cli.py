"""The command line: what becomes of a model, what runs here, what is kept of compiled code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Literal

import numpy as np

from maddjit.building import emit
from maddjit.compiler import cache
from maddjit.compiler.native import LLVM_VERSION, LLVMLITE_VERSION, NativeCodeError, host
from maddjit.compiler.target import LEVELS, TargetError, missing_features, named
from maddjit.formats import INPUTS
from maddjit.learning.fit import fit
from maddjit.pipeline import compile
from maddjit.reference import apply
from maddjit.storage import ModelFileError, load

_COMMON_FLAGS = frozenset(
    ("avx2", "bmi1", "bmi2", "f16c", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl")
)
"""Features that LLVM and the operating system call by the same name."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="maddjit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    inspect = commands.add_parser("inspect", help="show the plan, IR or assembly of a model")
    inspect.add_argument("model", help="file written by maddjit.save")
    inspect.add_argument("--target", choices=LEVELS, help="feature level; default: this machine's")
    inspect.add_argument("--dtype", choices=tuple(INPUTS), default="float32")
    inspect.add_argument("--order", choices=("C", "F", "strided"), default="C")
    shown = inspect.add_mutually_exclusive_group()
    shown.add_argument("--asm", action="store_true", help="print the assembly")
    shown.add_argument("--ir", choices=("template", "optimized"), help="print the LLVM IR")
    commands.add_parser("doctor", help="show what this machine can run, and try it")
    kept = commands.add_parser("cache", help="show or empty the cache of compiled code")
    kept.add_argument("action", choices=("info", "clear"))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status: 0, or 1 after an error message."""
    options = _parser().parse_args(arguments)
    try:
        {"inspect": _inspect, "doctor": _doctor, "cache": _cache}[options.command](options)
    except (OSError, ModelFileError, TargetError, NativeCodeError) as error:
        print(f"maddjit: {error}", file=sys.stderr)
        return 1
    return 0


def _doctor(_: argparse.Namespace) -> None:
    """Ask every detector, and compare an operator of each level with the reference."""
    import cpuinfo  # takes over a second

    machine, cpu = host(), cpuinfo.get_cpu_info()
    versions = f"LLVM {LLVM_VERSION}, llvmlite {LLVMLITE_VERSION}, NumPy {np.__version__}"
    print(f"cpu       {cpu.get('brand_raw', 'unknown')}; LLVM calls it {machine.cpu}")
    print(f"versions  {versions}")
    seen = {flag.replace("_", "") for flag in cpu.get("flags", ())}
    rng = np.random.default_rng(0)
    A = (rng.standard_normal((999, 4)) @ rng.standard_normal((4, 32))).astype(np.float32)
    model = fit(A, rng.standard_normal((32, 5)), n_codebooks=8)
    for name in LEVELS:
        level = named(name)
        if missing := missing_features(level, machine):
            print(f"{name:<16} lacks {', '.join(missing)}")
            continue
        doubted = sorted(f for f in level.requires if f in _COMMON_FLAGS and f not in seen)
        same = np.array_equal(compile(model, name)(A), apply(model, A))
        verdict = "right" if same else "WRONG: please report this"
        doubt = f"; cpuinfo misses {', '.join(doubted)}" if doubted else ""
        print(f"{name:<16} {verdict}{doubt}")


def _cache(options: argparse.Namespace) -> None:
    if options.action == "clear":
        print(f"removed {cache.clear()} objects")
    print(cache.info())


def _inspect(options: argparse.Namespace) -> None:
    model = load(options.model)
    stage: Literal["template", "optimized", "assembly"] | None
    stage = "assembly" if options.asm else options.ir
    kernel = {"dtype": options.dtype, "order": options.order}
    if stage and options.target:  # any target can be shown, also one that cannot run here
        print(emit(model, options.target, stage, **kernel))
        return
    op = compile(model, options.target, **kernel)
    if stage is None:
        for shown in (op, op.report, op.plan):
            print(shown)
    else:
        print(op.asm() if stage == "assembly" else op.ir(stage))
