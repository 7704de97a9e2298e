"""``maddjit fit`` and ``maddjit select``: from matrices in files to a model in a file."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from maddjit.arrays.files import write_whole
from maddjit.cli import kernels
from maddjit.cli.answers import Answer, UsageError
from maddjit.cli.inputs import Matrix, MissingExtraError, pair, read
from maddjit.cli.outputs import check_output
from maddjit.learning.fit import fit
from maddjit.learning.progress import Progress
from maddjit.learning.strassen_tile.fit import fit_strassen_tile
from maddjit.learning.winners.calibration import calibrate
from maddjit.models.maddness import MaddnessModel
from maddjit.models.storage import save, to_bytes
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.strassen_tile import TileOperator
from maddjit.operators.winners import WinnerOperator
from maddjit.selection.selection import select
from maddjit.version import __version__

_MADDNESS = {
    "codebooks": "n_codebooks",
    "prototypes": "n_prototypes",
    "method": "method",
    "objective": "objective",
    "core_rank": "core_rank",
    "accumulate": "accumulate",
    "time_limit": "time_limit",
}
_TILE = {"tile": "tile", "rank": "rank", "scheme": "scheme"}


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    fitting = commands.add_parser("fit", parents=[common], help="learn a model from rows and B")
    _add_matrices(fitting)
    fitting.add_argument("-o", "--output", required=True, metavar="model.npz")
    sizes = fitting.add_argument_group("look-up tables (MADDNESS), the default")
    sizes.add_argument("--codebooks", type=int, metavar="C", help="default 16")
    sizes.add_argument("--prototypes", type=int, metavar="K", help="leaves per tree, default 16")
    sizes.add_argument("--method", choices=("best", "paper"))
    sizes.add_argument("--objective", choices=("product", "argmax"))
    sizes.add_argument("--core-rank", type=int, metavar="R", help="directions computed exactly")
    sizes.add_argument("--accumulate", choices=("exact", "average"))
    sizes.add_argument("--time-limit", type=float, metavar="SECONDS")
    sizes.add_argument("--calibrate", type=int, metavar="K", help="for the K exact winners")
    sizes.add_argument("--rows", metavar="A2", help="rows to calibrate on, not those to fit to")
    tiles = fitting.add_argument_group("tiles with fewer multiplications (Strassen-Tile)")
    tiles.add_argument("--tile", type=int, metavar="T")
    tiles.add_argument("--rank", type=int, metavar="R")
    tiles.add_argument("--scheme", choices=("plain", "strassen", "winograd", "laderman"))
    fitting.set_defaults(run=_fit)

    choosing = commands.add_parser(
        "select", parents=[common], help="find the fastest way inside an error budget"
    )
    _add_matrices(choosing)
    choosing.add_argument("--budget", type=float, required=True, metavar="LOSS")
    choosing.add_argument("-o", "--output", metavar="model.npz", help="where the chosen model goes")
    choosing.add_argument(
        "--metric", choices=("nmse", "agreement", "argmax", "topk"), default="nmse"
    )
    choosing.add_argument("--k", type=int, default=1, help="winners of --metric topk")
    choosing.add_argument("--validation", metavar="A2", help="rows to judge by")
    choosing.add_argument("--codebooks", type=int, nargs="+", metavar="C")
    choosing.add_argument("--prototypes", type=int, nargs="+", metavar="K")
    choosing.add_argument("--core-ranks", type=int, nargs="+", metavar="R")
    choosing.add_argument("--tile-ranks", type=int, nargs="*", metavar="R")
    choosing.add_argument("--n", type=int, default=10000, help="rows of a timed call")
    choosing.add_argument("--time-limit", type=float, metavar="SECONDS")
    choosing.add_argument("--folder", help="keeps fitted models, to go on from there")
    choosing.add_argument("--plot", metavar="FILE", help="the frontier as svg, png or pdf")
    choosing.set_defaults(run=_select)


def _add_matrices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("A", help="rows like those that will be multiplied, (N, D)")
    parser.add_argument("B", help="the fixed right-hand side, (D, M)")
    parser.add_argument("--transpose", action="store_true", help="B is stored as (M, D)")
    parser.add_argument("--bias", metavar="FILE", help="added to the product, (M,)")
    parser.add_argument("--random-state", type=int, default=0, metavar="SEED")
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="a bar on stderr; default: if that is a terminal",
    )


def _fit(options: argparse.Namespace) -> Answer:
    of_tables = _given(options, _MADDNESS)
    of_tiles = _given(options, _TILE)
    if of_tiles and (of_tables or options.calibrate is not None):
        raise UsageError(f"{', '.join(map(_flag, of_tiles))} make tiles, the others look-up tables")
    if (options.calibrate is None) != (options.rows is None):
        raise UsageError("--calibrate and --rows go together")
    if options.calibrate is not None and (options.core_rank or options.accumulate == "average"):
        wrong = "--core-rank" if options.core_rank else "--accumulate average"
        raise UsageError(f"--calibrate scores by exact sums of tables alone: leave out {wrong}")
    check_output(options.output, options.A, options.B, options.bias, options.rows)
    inputs = _inputs(options)
    rows, right = inputs["A"].array, inputs["B"].array
    shared: dict[str, Any] = {
        "bias": inputs["bias"].array if "bias" in inputs else None,
        "random_state": options.random_state,
        "progress": _progress(options),
    }
    if options.rows is not None:
        inputs["rows"] = read(options.rows, "--rows")
        pair(inputs["rows"], inputs["B"])
        if not 1 <= options.calibrate <= right.shape[1]:
            raise UsageError(
                f"--calibrate must be from 1 to the outputs, {right.shape[1]}, "
                f"not {options.calibrate}"
            )
    model: MaddnessModel | StrassenTileModel
    if of_tiles:
        model = fit_strassen_tile(right, A_train=rows, **_named(of_tiles, _TILE), **shared)
    else:
        shared["on_interrupt"] = "raise"  # nothing half-fitted takes the place of a file
        model = fit(rows, right, **_named(of_tables, _MADDNESS), **shared)
        if options.calibrate is not None:
            model = calibrate(
                model,
                inputs["rows"].array,
                right,
                k=options.calibrate,
                random_state=options.random_state,
            )
    told = {**of_tables, **of_tiles, "calibrate": options.calibrate}
    provenance = _provenance("fit", told, options, inputs)
    content = to_bytes(model, provenance)
    write_whole(options.output, content)
    facts = {
        "output": options.output,
        "bytes": len(content),
        "model": kernels.facts_of(model),
        "provenance": provenance,
    }
    return Answer(f"{kernels.described(model)}\n{options.output}: {len(content)} bytes", facts)


def _select(options: argparse.Namespace) -> Answer:
    sources = [options.A, options.B, options.bias, options.validation]
    for path in (options.output, options.plot):
        if path is not None:
            check_output(path, *sources)
            sources.append(path)
    axes = None if options.plot is None else _axes(options.plot)
    inputs = _inputs(options)
    if options.validation is not None:
        inputs["validation"] = read(options.validation, "--validation")
    sizes = {
        "n_codebooks": options.codebooks,
        "n_prototypes": options.prototypes,
        "core_ranks": options.core_ranks,
        "tile_ranks": options.tile_ranks,
    }
    arrays: dict[str, Any] = {
        name: matrix.array for name, matrix in inputs.items() if name not in ("A", "B")
    }
    found = select(
        inputs["A"].array,
        inputs["B"].array,
        options.budget,
        metric=options.metric,
        k=options.k,
        n_timed=options.n,
        random_state=options.random_state,
        time_limit=options.time_limit,
        folder=options.folder,
        progress=_progress(options),
        **{name: value for name, value in sizes.items() if value is not None},
        **arrays,
    )
    if found.left_out.get("the rest") == "interrupted":
        raise KeyboardInterrupt
    best, lines = found.best, [str(found)]
    made = best.operator
    model = made.model if isinstance(made, WinnerOperator) else best.model
    inner = getattr(made, "product", made)
    precision = inner.report.precision if isinstance(inner, TileOperator) else "float32"
    if options.output is not None and model is not None:
        told = {name: value for name, value in sizes.items() if value is not None}
        told |= {"budget": options.budget, "metric": options.metric, "chosen": best.name}
        save(model, options.output, _provenance("select", told, options, inputs))
        bits = " (compile it with --precision bfloat16)" * (precision == "bfloat16")
        lines.append(f"{options.output}: {best.name}{bits}")
    elif options.output is not None:
        lines.append(f"{options.output} is not written: {best.name} is no model, and the fastest")
    if axes is not None:
        drawn = BytesIO()
        found.plot(axes).figure.savefig(drawn, format=Path(options.plot).suffix[1:])
        write_whole(options.plot, drawn.getvalue())
        lines.append(f"{options.plot}: the frontier")
    facts = {
        "best": best.name,
        "output": options.output if model is not None else None,
        "precision": precision,
        "fresh_loss": found.fresh_loss,
        "metric": found.metric,
        "budget": found.budget,
        "candidates": [
            {
                "name": each.name,
                "loss": each.loss,
                "nanoseconds_per_row": each.nanoseconds,
                "speed_up": each.speed_up,
                "on_frontier": each in found.frontier,
            }
            for each in found.candidates
        ],
        "left_out": found.left_out,
    }
    return Answer("\n".join(lines), facts)


def _inputs(options: argparse.Namespace) -> dict[str, Matrix]:
    inputs = {"A": read(options.A, "A"), "B": read(options.B, "B", transpose=options.transpose)}
    pair(inputs["A"], inputs["B"])
    if options.bias is not None:
        inputs["bias"] = read(options.bias, "--bias", ndim=1)
    return inputs


def _given(options: argparse.Namespace, names: dict[str, str]) -> dict[str, Any]:
    return {n: getattr(options, n) for n in names if getattr(options, n) is not None}


def _named(given: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names[flag]: value for flag, value in given.items()}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _progress(options: argparse.Namespace) -> Progress:
    if options.progress is not None:
        return bool(options.progress)
    try:
        import tqdm  # noqa: F401
    except ImportError:
        return False
    return sys.stderr.isatty()


def _provenance(
    command: str, told: dict[str, Any], options: argparse.Namespace, inputs: dict[str, Matrix]
) -> dict[str, Any]:
    given = {name: value for name, value in told.items() if value is not None}
    return {
        "maddjit": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "options": {**given, "random_state": options.random_state},
        "inputs": {name: matrix.facts() for name, matrix in inputs.items()},
    }


def _axes(path: str) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("--plot", "Matplotlib", "plot") from error
    figure = Figure(layout="constrained")
    known = figure.canvas.get_supported_filetypes()
    if Path(path).suffix[1:].lower() not in known:
        raise UsageError(f"--plot {path}: expected a name that ends with .{', .'.join(known)}")
    return figure.add_subplot()
