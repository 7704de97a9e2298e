"""The command line, ``maddjit`` or ``python -m maddjit``: a module for each group of commands."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from maddjit.cli import exporting, learning, looking, machine, timing
from maddjit.cli.answers import Answer, UsageError, jsonable
from maddjit.cli.inputs import MissingExtraError
from maddjit.compiler.native import NativeCodeError
from maddjit.version import __version__

FINE, ERROR, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""

_EXPECTED = (OSError, ValueError, TypeError, NativeCodeError, MissingExtraError, MemoryError)
"""What wrong files, wrong options and this machine's limits raise: the message says it all."""


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON document on stdout")
    common.add_argument("--debug", action="store_true", help="show where an error came from")
    parser = argparse.ArgumentParser(
        prog="maddjit",
        description="Compile matrix products whose right-hand side is known.",
        epilog="Matrices: file.npy, file.npz:key, file.safetensors:name, file.onnx:constant.",
    )
    parser.add_argument("--version", action="version", version=f"maddjit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for group in (learning, looking, timing, exporting, machine):
        group.add(commands, common)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        The exit status: 0; 1 after an error, of which stderr and with --json also stdout tells;
        2 for wrong usage; 130 if it was interrupted.
    """
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as done:  # argparse has said why
        return int(done.code or FINE)
    warned: list[str] = []

    def warn(message: Warning | str, *_: object, **__: object) -> None:
        warned.append(str(message))
        print(f"maddjit: warning: {message}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = warn
            answer: Answer = options.run(options)
        shown = answer.text
        if options.json:
            extra = {"warnings": warned} if warned else {}
            shown = json.dumps(jsonable({**answer.facts, **extra}), indent=2, ensure_ascii=False)
        print(shown)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("maddjit: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        return _failed(error, options)
    return answer.status


def _failed(error: Exception, options: argparse.Namespace) -> int:
    words = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        words = f"{error.filename}: {error.strerror}"
    if not isinstance(error, (*_EXPECTED, UsageError)):
        words = f"{type(error).__name__}: {words} (unexpected; --debug shows where)"
    print(f"maddjit: {words}", file=sys.stderr)
    if options.json:
        print(json.dumps({"error": words}, ensure_ascii=False))
    return USAGE if isinstance(error, UsageError) else ERROR
