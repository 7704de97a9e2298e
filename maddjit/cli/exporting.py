"""``maddjit export``: a model as code for other programs."""

from __future__ import annotations

import argparse
from typing import Any

from maddjit.cli import kernels
from maddjit.cli.answers import Answer
from maddjit.compiler.platforms import SYSTEMS
from maddjit.exporting.export import export_request
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
    request = kernels.request(load(options.model), options, "export", options.system)
    written = export_request(request, options.dir, options.name)
    return Answer(str(written), {"dir": options.dir, "name": options.name, "written": written})
