"""Shared by ``maddjit fit`` and ``maddjit select``: matrices, progress and provenance."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import Any

from maddjit.cli.inputs import Matrix, check_pair, read
from maddjit.learning.progress import Progress
from maddjit.version import __version__

MATRICES = """\
A and B are file.npy, file.npz:key, file.safetensors:name or file.onnx:name.
Sizes: A has N rows of D features, B turns D features into M outputs."""
"""The end of the commands' descriptions: how to name matrices in files."""


def add_matrices(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name matrices, and those that all learning has."""
    parser.add_argument("A", help="rows like those that will be multiplied, (N, D)")
    parser.add_argument("B", help="the fixed right-hand side, (D, M)")
    parser.add_argument(
        "--transpose", action="store_true", help="B is stored as (M, D), as PyTorch stores weights"
    )
    parser.add_argument("--bias", metavar="FILE", help="a vector (M,) that is added to the product")
    parser.add_argument(
        "--random-state",
        type=int,
        default=0,
        metavar="SEED",
        help="seed of all that is drawn at random (default: 0)",
    )
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a progress bar on stderr (default: only if stderr is a terminal)",
    )


def read_matrices(options: argparse.Namespace) -> dict[str, Matrix]:
    """Return A, B and, if it is given, the bias."""
    inputs = {"A": read(options.A, "A"), "B": read(options.B, "B", transpose=options.transpose)}
    check_pair(inputs["A"], inputs["B"])
    if options.bias is not None:
        inputs["bias"] = read(options.bias, "--bias", ndim=1)
    return inputs


def progress_of(options: argparse.Namespace) -> Progress:
    """Return whether to show a bar: as asked, or if tqdm is installed and stderr a terminal."""
    if options.progress is not None:
        return bool(options.progress)
    try:
        import tqdm  # noqa: F401
    except ImportError:
        return False
    return sys.stderr.isatty()


def provenance(
    command: str, told: dict[str, Any], options: argparse.Namespace, inputs: dict[str, Matrix]
) -> dict[str, Any]:
    """Return what a model file remembers: versions, time, options, and the files it came from."""
    given = {name: value for name, value in told.items() if value is not None}
    return {
        "maddjit": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "options": {**given, "random_state": options.random_state},
        "inputs": {name: matrix.facts() for name, matrix in inputs.items()},
    }
