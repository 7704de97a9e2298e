"""``maddjit export``: a model as code for other programs."""

from __future__ import annotations

import argparse
from typing import Any

import maddjit
from maddjit.cli import kernels
from maddjit.cli.answers import Answer
from maddjit.compiler.platforms import SYSTEMS
from maddjit.models.storage import load


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    writing = commands.add_parser(
        "export", parents=[common], help="write a model as code for other programs"
    )
    kernels.add_flags(writing)
    writing.add_argument("--dir", required=True, metavar="FOLDER", help="where the files go")
    writing.add_argument("--name", default="product", help="what its functions begin with")
    writing.add_argument(
        "--system", choices=tuple(SYSTEMS), help="of the programs; default: this machine's"
    )
    writing.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> Answer:
    export: Any = getattr(maddjit, "export", None)
    if export is None:
        raise ValueError(f"maddjit {maddjit.__version__} does not export yet")
    model = load(options.model)
    asked = kernels.compile_options(model, options)
    if options.system:
        asked["system"] = options.system
    written = export(model, options.dir, name=options.name, target=options.target, **asked)
    return Answer(str(written), {"dir": options.dir, "name": options.name, "written": written})
