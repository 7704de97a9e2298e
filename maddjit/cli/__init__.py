"""The command line, ``maddjit`` or ``python -m maddjit``: a module for each group of commands."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from io import TextIOWrapper
from typing import Any, NoReturn

from maddjit.cli import exporting, learning, looking, machine, timing
from maddjit.cli.answers import Answer, UsageError, jsonable
from maddjit.cli.inputs import MissingExtraError
from maddjit.cli.outputs import is_stdout
from maddjit.compiler.llvm import NativeCodeError
from maddjit.version import __version__

FINE, ERROR, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""

_EXPECTED = (OSError, ValueError, TypeError, NativeCodeError, MissingExtraError, MemoryError)
"""What wrong files, wrong options and this machine's limits raise: the message says it all."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are told like all others, and by --json as JSON."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise UsageError(message)


class _Logged(logging.Handler):
    """Hands what is logged of a command's doings to a function."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON document on stdout")
    common.add_argument("--debug", action="store_true", help="show where an error came from")
    parser = _Parser(
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
    given = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, TextIOWrapper):  # characters that it lacks are escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = _parser().parse_args(given)
    except SystemExit as done:  # --help or --version
        return int(done.code or FINE)
    except UsageError as error:
        return _failed(error, "--json" in given)
    # A model that goes to stdout has it for itself.
    taken = any(is_stdout(getattr(options, name, None)) for name in ("output", "plot", "html"))
    stream = sys.stderr if taken else sys.stdout
    warned: list[str] = []

    def warn(message: Warning | str, *_: object, **__: object) -> None:
        warned.append(str(message))
        print(f"maddjit: warning: {message}", file=sys.stderr)

    logger, logged = logging.getLogger("maddjit"), _Logged(warn)
    logger.addHandler(logged)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = warn
            answer: Answer = options.run(options)
        shown = answer.text
        if options.json:
            extra = {"warnings": warned} if warned else {}
            shown = _json({**answer.facts, **extra}, indent=2)
        print(shown, file=stream, flush=True)  # to nobody if it is closed
    except KeyboardInterrupt:
        print("maddjit: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError as error:  # whoever read has read enough
        if error.filename is not None:
            return _failed(error, options.json)  # of a model, all would have been needed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        return _failed(error, options.json)
    finally:
        logger.removeHandler(logged)
    return answer.status


def _json(facts: Mapping[str, Any], indent: int | None = None) -> str:
    """Return JSON, in which characters are escaped by its own rules if stdout may lack them."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    return json.dumps(jsonable(facts), indent=indent, ensure_ascii=encoding != "utf8")


def _failed(error: Exception, as_json: bool) -> int:
    words = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        words = f"{error.filename}: {error.strerror}"
    if not isinstance(error, (*_EXPECTED, UsageError)):
        words = f"{type(error).__name__}: {words} (unexpected; --debug shows where)"
    print(f"maddjit: {words}", file=sys.stderr)
    if as_json:
        print(_json({"error": words}))
    return USAGE if isinstance(error, UsageError) else ERROR
