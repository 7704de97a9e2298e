"""``maddjit export``: write a model as code for other programs."""

from __future__ import annotations

import argparse
from typing import Any

from maddjit.cli import kernels
from maddjit.cli.answers import Answer
from maddjit.cli.commands import add_command
from maddjit.compiler.platforms import SYSTEMS
from maddjit.exporting.export import export, export_request
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.network import Network
from maddjit.models.storage import load


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "export",
        _export,
        "write a model as code for other programs",
        "Write a model as an object file with a C header, an example and a file for CMake, and as\n"
        "a shared library if a linker is found. Any language that calls C can use them; neither\n"
        "Python nor maddjit is needed to run them.",
        "maddjit export model.npz --dir out --name head",
        "maddjit export model.npz --dir out --target x86-64-v3 --system windows",
    )
    kernels.add_flags(parser)
    parser.add_argument("--dir", required=True, metavar="FOLDER", help="folder for the files")
    parser.add_argument(
        "--name", default="product", help="prefix of files and functions (default: product)"
    )
    parser.add_argument(
        "--system",
        choices=tuple(SYSTEMS),
        help="operating system of the programs (default: this machine's)",
    )


def _export(options: argparse.Namespace) -> Answer:
    model = load(options.model)
    if isinstance(model, Network | ConvolutionModel):
        if isinstance(model, Network):
            kernels.check_flags(options, "networks")
        else:
            kernels.check_flags(options, "convolutions", ("dtype",))
        written = export(
            model,
            options.dir,
            name=options.name,
            target=options.target,
            system=options.system,
            dtype=options.dtype,
        )
    else:
        request = kernels.request(model, options, "export", options.system)
        written = export_request(request, options.dir, options.name)
    return Answer(str(written), {"dir": options.dir, "name": options.name, "written": written})
