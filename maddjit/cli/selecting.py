"""``maddjit select``: the fastest way to multiply by B whose error is within a budget."""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path
from typing import Any

from maddjit.arrays.files import write_whole
from maddjit.cli import training
from maddjit.cli.answers import Answer, UsageError
from maddjit.cli.commands import add_command
from maddjit.cli.inputs import Matrix, MissingExtraError, read
from maddjit.cli.outputs import check_output
from maddjit.models.storage import Product, save
from maddjit.operators.strassen_tile import TileOperator
from maddjit.operators.winners import WinnerOperator
from maddjit.selection.found import Selection
from maddjit.selection.selection import select


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "select",
        _select,
        "find the fastest way inside an error budget",
        "Find the fastest way to compute A @ B on this machine whose error is within a budget:\n"
        "look-up tables, tiles, products of low rank and the exact product are timed in turns.\n\n"
        + training.MATRICES,
        "maddjit select A.npy B.npy --budget 0.05 -o model.npz",
        "maddjit select A.npy B.npy --budget 0.01 --metric argmax --plot frontier.svg",
    )
    training.add_matrices(parser)
    parser.add_argument(
        "--budget",
        type=float,
        required=True,
        metavar="LOSS",
        help="the largest loss that is allowed, by --metric",
    )
    parser.add_argument("-o", "--output", metavar="model.npz", help="the file for the chosen model")
    parser.add_argument(
        "--metric",
        choices=("nmse", "agreement", "argmax", "topk"),
        default="nmse",
        help="the loss: nmse is the squared error over the variance; agreement, the share of rows "
        "whose largest output is another one; argmax and topk, the share of winners that are "
        "missed (default: nmse)",
    )
    parser.add_argument(
        "--k", type=int, default=1, help="number of winners of --metric topk (default: 1)"
    )
    parser.add_argument(
        "--validation",
        metavar="A2",
        help="rows to measure the loss on, 20 or more (default: a quarter of A)",
    )
    _add_sizes(parser.add_argument_group("sizes to try"))
    search = parser.add_argument_group("the search")
    search.add_argument(
        "--n", type=int, default=10000, help="number of rows of a timed call (default: 10000)"
    )
    search.add_argument(
        "--time-limit", type=float, metavar="SECONDS", help="no further way is tried after these"
    )
    search.add_argument(
        "--folder", help="keep fitted models here; a search that was cut short goes on from them"
    )
    search.add_argument(
        "--plot", metavar="FILE", help="draw loss against speed, as svg, png or pdf"
    )


def _add_sizes(group: Any) -> None:
    group.add_argument("--codebooks", type=int, nargs="+", metavar="C", help="of look-up tables")
    group.add_argument("--prototypes", type=int, nargs="+", metavar="K", help="of each codebook")
    group.add_argument(
        "--core-ranks",
        type=int,
        nargs="+",
        metavar="R",
        help="directions computed exactly beside tables",
    )
    group.add_argument(
        "--tile-ranks",
        type=int,
        nargs="*",
        metavar="R",
        help="multiplications of 4 × 4 × 4 tiles, 16 to 48; none tries no approximate tiles",
    )


def _select(options: argparse.Namespace) -> Answer:
    """Check the options, read the matrices, search, and write what is asked for."""
    axes = _checked_outputs(options)
    inputs = training.read_matrices(options)
    if options.validation is not None:
        inputs["validation"] = read(options.validation, "--validation")
    sizes = {
        "n_codebooks": options.codebooks,
        "n_prototypes": options.prototypes,
        "core_ranks": options.core_ranks,
        "tile_ranks": options.tile_ranks,
    }
    sizes = {name: value for name, value in sizes.items() if value is not None}
    found = _searched(options, inputs, sizes)
    model, precision = _chosen_model(found)
    lines = [str(found)]
    if options.output is not None:
        told = {**sizes, "budget": options.budget, "metric": options.metric}
        told["chosen"] = found.best.name
        provenance = training.provenance("select", told, options, inputs)
        lines.append(_written(options.output, found, model, precision, provenance))
    if axes is not None:
        lines.append(_drawn(options.plot, found, axes))
    return Answer("\n".join(lines), _facts(options, found, model, precision))


def _checked_outputs(options: argparse.Namespace) -> Any:
    """Refuse outputs that cannot be written; return axes to draw into, if a plot is asked for."""
    taken = [options.A, options.B, options.bias, options.validation]
    for path in (options.output, options.plot):
        if path is not None:
            check_output(path, *taken)
            taken.append(path)
    return None if options.plot is None else _axes(options.plot)


def _searched(
    options: argparse.Namespace, inputs: dict[str, Matrix], sizes: dict[str, Any]
) -> Selection:
    """Return what `maddjit.select` finds; an interrupted search raises KeyboardInterrupt."""
    optional: dict[str, Any] = {
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
        progress=training.progress_of(options),
        **sizes,
        **optional,
    )
    if found.left_out.get("the rest") == "interrupted":
        raise KeyboardInterrupt
    return found


def _chosen_model(found: Selection) -> tuple[Product | None, str]:
    """Return the model of the best way, if it has one, and the precision it is compiled in."""
    made = found.best.operator
    model: Product | None = made.model if isinstance(made, WinnerOperator) else found.best.model
    inner = getattr(made, "product", made)
    return model, inner.report.precision if isinstance(inner, TileOperator) else "float32"


def _written(
    path: str, found: Selection, model: Product | None, precision: str, provenance: dict[str, Any]
) -> str:
    """Write the chosen model, if there is one, and return a line about it."""
    name = found.best.name
    if model is None:
        return f"{path} is not written: the fastest way is {name}, which needs no model"
    save(model, path, provenance)
    bits = " (compile it with --precision bfloat16)" * (precision == "bfloat16")
    return f"{path}: {name}{bits}"


def _drawn(path: str, found: Selection, axes: Any) -> str:
    """Draw the frontier into a file, and return a line about it."""
    drawn = BytesIO()
    found.plot(axes).figure.savefig(drawn, format=Path(path).suffix[1:])
    write_whole(path, drawn.getvalue())
    return f"{path}: the frontier, loss against speed"


def _facts(
    options: argparse.Namespace, found: Selection, model: Product | None, precision: str
) -> dict[str, Any]:
    return {
        "best": found.best.name,
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


def _axes(path: str) -> Any:
    """Return empty axes to draw into, if Matplotlib is there and can write such a file."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("--plot", "Matplotlib", "plot") from error
    figure = Figure(layout="constrained")
    known = figure.canvas.get_supported_filetypes()
    if Path(path).suffix[1:].lower() not in known:
        raise UsageError(f"--plot {path}: expected a name that ends with .{', .'.join(known)}")
    return figure.add_subplot()
