"""``maddjit fit``: from rows and a right-hand side in files to a model in a file."""

from __future__ import annotations

import argparse
from typing import Any

from maddjit.arrays.files import write_whole
from maddjit.cli import kernels, training
from maddjit.cli.answers import Answer, UsageError
from maddjit.cli.commands import add_command
from maddjit.cli.inputs import Matrix, check_pair, read
from maddjit.cli.outputs import check_output
from maddjit.learning.fit import fit
from maddjit.learning.strassen_tile.fit import fit_strassen_tile
from maddjit.learning.winners.calibration import calibrate
from maddjit.models.storage import Product, to_bytes

_TABLES = {
    "codebooks": "n_codebooks",
    "prototypes": "n_prototypes",
    "encoder": "encoder",
    "method": "method",
    "objective": "objective",
    "core_rank": "core_rank",
    "accumulate": "accumulate",
    "time_limit": "time_limit",
}
"""Options for look-up tables → the parameters of `maddjit.fit` that they set."""

_TILES = {"tile": "tile", "rank": "rank", "scheme": "scheme"}
"""Options for tiles → the parameters of `maddjit.fit_strassen_tile` that they set."""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "fit",
        _fit,
        "learn a model from rows and B",
        "Learn a model of A @ B from sample rows A and the fixed matrix B.\n\n" + training.MATRICES,
        "maddjit fit A.npy B.npy -o model.npz --codebooks 32",
        "maddjit fit A.npy B.npy -o model.npz --tile 2",
        "maddjit fit A.npy B.npy -o model.npz --calibrate 1 --rows A2.npy",
    )
    training.add_matrices(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="model.npz", help="the file for the model"
    )
    _add_tables(parser.add_argument_group("look-up tables (MADDNESS), the default"))
    _add_tiles(parser.add_argument_group("tiles with fewer multiplications (Strassen-Tile)"))


def _add_tables(group: Any) -> None:
    group.add_argument(
        "--codebooks",
        type=int,
        metavar="C",
        help="number of codebooks; more are more accurate and slower (default: 16)",
    )
    group.add_argument(
        "--prototypes",
        type=int,
        metavar="K",
        help="prototypes of each codebook, a power of two from 2 to 256 (default: 16)",
    )
    group.add_argument(
        "--encoder",
        choices=("trees", "additive", "auto"),
        help="how rows become codes: by hash trees, or by prototypes of all columns, which halve "
        "the error and take longer; auto goes by the sizes (default: trees)",
    )
    group.add_argument(
        "--method",
        choices=("best", "paper"),
        help="the learner: best has the smaller error, paper is the published algorithm "
        "(default: best)",
    )
    group.add_argument(
        "--objective",
        choices=("product", "argmax"),
        help="approximate all outputs, or rank them so that the largest is named "
        "(default: product)",
    )
    group.add_argument(
        "--core-rank",
        type=int,
        metavar="R",
        help="compute R directions exactly beside the tables (default: 0)",
    )
    group.add_argument(
        "--accumulate",
        choices=("exact", "average"),
        help="how table entries are summed: in integers, or by the paper's rounding averages "
        "(default: exact)",
    )
    group.add_argument(
        "--time-limit", type=float, metavar="SECONDS", help="about how long learning may take"
    )
    group.add_argument(
        "--calibrate",
        type=int,
        metavar="K",
        help="prepare the model to name the K exact winners, the largest outputs; needs --rows",
    )
    group.add_argument(
        "--rows", metavar="A2", help="rows to calibrate on, other ones than those in A"
    )


def _add_tiles(group: Any) -> None:
    group.add_argument(
        "--tile", type=int, metavar="T", help="size of a tile, T × T × T; 1 is the plain product"
    )
    group.add_argument(
        "--rank",
        type=int,
        metavar="R",
        help="multiplications of a tile; fewer than the exact scheme has approximate the product "
        "(default: as many as the exact scheme has)",
    )
    group.add_argument(
        "--scheme",
        choices=("plain", "strassen", "winograd", "laderman"),
        help="a published scheme, in place of --tile and --rank",
    )


def _fit(options: argparse.Namespace) -> Answer:
    """Check the options, read the matrices, learn and write the model."""
    tables, tiles = _given(options, _TABLES), _given(options, _TILES)
    _check_options(options, tables, tiles)
    check_output(options.output, options.A, options.B, options.bias, options.rows)
    inputs = training.read_matrices(options)
    if options.rows is not None:
        inputs["rows"] = _calibration_rows(options, inputs)
    model = _learned(options, inputs, tables, tiles)
    told = {**tables, **tiles, "calibrate": options.calibrate}
    provenance = training.provenance("fit", told, options, inputs)
    content = to_bytes(model, provenance)
    write_whole(options.output, content)
    facts = {
        "output": options.output,
        "bytes": len(content),
        "model": kernels.facts_of(model),
        "provenance": provenance,
    }
    return Answer(f"{kernels.summary(model)}\n{options.output}: {len(content)} bytes", facts)


def _check_options(
    options: argparse.Namespace, tables: dict[str, Any], tiles: dict[str, Any]
) -> None:
    """Refuse options that do not go together."""
    if tiles and (tables or options.calibrate is not None):
        raise UsageError(f"{', '.join(map(_flag, tiles))} make tiles, the others look-up tables")
    if (options.calibrate is None) != (options.rows is None):
        raise UsageError("--calibrate and --rows go together")
    if options.calibrate is not None and (options.core_rank or options.accumulate == "average"):
        wrong = "--core-rank" if options.core_rank else "--accumulate average"
        raise UsageError(f"--calibrate scores by exact sums of tables alone: leave out {wrong}")


def _calibration_rows(options: argparse.Namespace, inputs: dict[str, Matrix]) -> Matrix:
    rows = read(options.rows, "--rows")
    check_pair(rows, inputs["B"])
    n_outputs = inputs["B"].array.shape[1]
    if not 1 <= options.calibrate <= n_outputs:
        raise UsageError(
            f"--calibrate must be from 1 to the outputs, {n_outputs}, not {options.calibrate}"
        )
    return rows


def _learned(
    options: argparse.Namespace,
    inputs: dict[str, Matrix],
    tables: dict[str, Any],
    tiles: dict[str, Any],
) -> Product:
    """Return the model that the options ask for."""
    rows, right = inputs["A"].array, inputs["B"].array
    shared: dict[str, Any] = {
        "bias": inputs["bias"].array if "bias" in inputs else None,
        "random_state": options.random_state,
        "progress": training.progress_of(options),
    }
    if tiles:
        return fit_strassen_tile(right, A_train=rows, **_parameters(tiles, _TILES), **shared)
    shared["on_interrupt"] = "raise"  # a half-fitted model must not replace a file
    model = fit(rows, right, **_parameters(tables, _TABLES), **shared)
    if options.calibrate is None:
        return model
    return calibrate(
        model,
        inputs["rows"].array,
        right,
        k=options.calibrate,
        random_state=options.random_state,
    )


def _given(options: argparse.Namespace, names: dict[str, str]) -> dict[str, Any]:
    return {n: getattr(options, n) for n in names if getattr(options, n) is not None}


def _parameters(given: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names[flag]: value for flag, value in given.items()}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
