"""Add a command to the parser of the command line, with a description and examples."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from maddjit.cli.answers import Answer

RunCommand = Callable[[argparse.Namespace], Answer]
"""Runs a command with its options."""


def common_flags() -> argparse.ArgumentParser:
    """Return the flags that all commands have."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print the answer as one JSON document")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return common


def add_command(
    commands: Any, name: str, run: RunCommand, summary: str, description: str, *examples: str
) -> argparse.ArgumentParser:
    """Add a command, and return its parser for its own arguments.

    Parameters
    ----------
    commands : what `ArgumentParser.add_subparsers` returns
    name : str
    run : callable
        Takes the parsed options and returns the answer.
    summary : str
        The line in the list of commands.
    description : str
        What ``maddjit NAME --help`` begins with; its lines are kept as they are.
    *examples : str
        Command lines that its help ends with.
    """
    shown = "\n".join(["examples:", *(f"  {line}" for line in examples)]) if examples else None
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        parents=[common_flags()],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help=summary,
        description=description,
        epilog=shown,
    )
    parser.set_defaults(run=run)
    return parser
