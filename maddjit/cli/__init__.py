"""The command line, ``maddjit`` or ``python -m maddjit``: each group of commands has a module."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, NoReturn, TextIO

from maddjit.cli import caching, doctor, exporting, fitting, looking, selecting, timing
from maddjit.cli.answers import Answer, UsageError, jsonable
from maddjit.cli.inputs import MissingExtraError
from maddjit.cli.outputs import is_stdout
from maddjit.compiler.llvm import NativeCodeError
from maddjit.version import __version__

FINE, ERROR, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""

_EXPECTED = (OSError, ValueError, TypeError, NativeCodeError, MissingExtraError, MemoryError)
"""Errors of files, options and this machine's limits, whose messages need no traceback."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are told like all others, with --json as JSON."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise UsageError(message)


class _Logged(logging.Handler):
    """A handler that passes the messages which the package logs on to a function."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="maddjit",
        description="Approximate A @ B for a fixed matrix B: learn a model from sample rows A, "
        "compile it for this CPU, time it, look at its code, export it.",
        epilog="maddjit COMMAND --help shows the options of a command, with examples. Matrices are "
        "file.npy, file.npz:key, file.safetensors:name or file.onnx:name.",
    )
    parser.add_argument("--version", action="version", version=f"maddjit {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="command", title="commands"
    )
    for group in (fitting, selecting, looking, timing, exporting, doctor, caching):
        group.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the name of the program; by default that of this process.

    Returns
    -------
    int
        The exit status: 0 if all went well; 1 after an error, which stderr tells, with --json
        stdout as well; 2 for wrong usage; 130 if the command was interrupted.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, TextIOWrapper):  # escape characters that it lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = _parser().parse_args(given)
    except SystemExit as done:  # --help or --version
        return int(done.code or FINE)
    except UsageError as error:
        return _failed(error, "--json" in given)
    stream = _stream(options)  # before the command writes files
    warned: list[str] = []
    try:
        with _warnings_told(warned):
            answer: Answer = options.run(options)
        print(
            _shown(answer, options.json, warned), file=stream, flush=True
        )  # to nobody if it is closed
    except KeyboardInterrupt:
        print("maddjit: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError as error:
        if error.filename is not None:
            return _failed(error, options.json)  # the reader of a model needs all of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # enough was read
        return FINE
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        return _failed(error, options.json)
    return answer.status


@contextmanager
def _warnings_told(warned: list[str]) -> Iterator[None]:
    """Print warnings, and what the package logs, on stderr, and append them to a list."""

    def warn(message: Warning | str, *_: object, **__: object) -> None:
        warned.append(str(message))
        print(f"maddjit: warning: {message}", file=sys.stderr)

    logger, logged = logging.getLogger("maddjit"), _Logged(warn)
    logger.addHandler(logged)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = warn
            yield
    finally:
        logger.removeHandler(logged)


def _stream(options: argparse.Namespace) -> TextIO | None:
    """Return where answers go: stdout, or stderr if stdout is the file that a command writes."""
    taken = any(is_stdout(getattr(options, name, None)) for name in ("output", "plot", "html"))
    return sys.stderr if taken else sys.stdout


def _shown(answer: Answer, as_json: bool, warned: Sequence[str]) -> str:
    if not as_json:
        return answer.text
    return _json({**answer.facts, **({"warnings": warned} if warned else {})}, indent=2)


def _json(facts: Mapping[str, Any], indent: int | None = None) -> str:
    """Return facts as JSON; it is plain ASCII unless stdout takes UTF-8."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    return json.dumps(jsonable(facts), indent=indent, ensure_ascii=encoding != "utf8")


def _failed(error: Exception, as_json: bool) -> int:
    """Print an error on stderr, with --json also on stdout, and return the exit status."""
    words = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        words = f"{error.filename}: {error.strerror}"
    if not isinstance(error, (*_EXPECTED, UsageError)):
        words = f"{type(error).__name__}: {words} (an unexpected error: --debug shows where)"
    print(f"maddjit: {words}", file=sys.stderr)
    if as_json:
        print(_json({"error": words}))
    return USAGE if isinstance(error, UsageError) else ERROR
