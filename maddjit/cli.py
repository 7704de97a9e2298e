"""The command line: ``maddjit inspect MODEL`` shows what becomes of a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Literal

from maddjit.compiler.native import NativeCodeError
from maddjit.compiler.target import LEVELS, TargetError
from maddjit.formats import INPUTS
from maddjit.pipeline import compile, emit
from maddjit.storage import ModelFileError, load


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
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status: 0, or 1 after an error message."""
    options = _parser().parse_args(arguments)
    try:
        _inspect(options)
    except (OSError, ModelFileError, TargetError, NativeCodeError) as error:
        print(f"maddjit: {error}", file=sys.stderr)
        return 1
    return 0


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
