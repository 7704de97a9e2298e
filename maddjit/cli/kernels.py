"""Shared by commands that compile a model: flags, the operator, and facts about the model."""

from __future__ import annotations

import argparse
from typing import Any

from maddjit.arrays.formats import INPUTS
from maddjit.cli.answers import UsageError
from maddjit.compiler.request import Request, Use, ask
from maddjit.compiler.target import LEVELS
from maddjit.models.maddness import MaddnessModel
from maddjit.models.storage import Product
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.pipeline import AnyOperator, operator_of

ORDERS = ("C", "F", "strided")
"""The orders of A that --order takes."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the model's file and the flags that choose a kernel."""
    parser.add_argument("model", help="a file written by maddjit fit, maddjit select or model.save")
    group = parser.add_argument_group("the kernel")
    group.add_argument(
        "--target",
        choices=LEVELS,
        help="the feature level of the CPU to compile for (default: the best of this machine)",
    )
    group.add_argument(
        "--dtype", choices=tuple(INPUTS), default="float32", help="dtype of A (default: float32)"
    )
    group.add_argument(
        "--order",
        choices=ORDERS,
        default="C",
        help="layout of A: rows contiguous (C), columns contiguous (F), or neither (default: C)",
    )
    group.add_argument(
        "--result",
        choices=("outputs", "argmax", "topk"),
        help="what is returned: all outputs, or the exact winners (default: outputs; winners if "
        "the model was calibrated for them)",
    )
    group.add_argument(
        "--coverage",
        type=float,
        default=0.999,
        help="the probability with which a row's winners are the exact ones (default: 0.999)",
    )
    group.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="what a Strassen-Tile model multiplies in (default: float32)",
    )


_USUAL: dict[str, tuple[Any, ...]] = {
    "dtype": ("float32",),
    "order": ("C",),
    "result": (None, "outputs"),
    "coverage": (0.999,),
    "precision": ("float32",),
    "also": ([],),
    "html": (None,),
}
"""What flags are where they say nothing."""


def check_flags(options: argparse.Namespace, kind: str, taken: tuple[str, ...] = ()) -> None:
    """Check that no flag is given that a kind of model does not take.

    Raises
    ------
    UsageError
        If one is.
    """
    for name, usual in _USUAL.items():
        if name not in taken and getattr(options, name, usual[0]) not in usual:
            raise UsageError(f"--{name} is not for {kind}")
    if getattr(options, "asm", None) == "stages":
        raise UsageError(f"the assembly of {kind} is shown by --asm plain, not by stages")


def result_of(model: Product, options: argparse.Namespace) -> str:
    """Return the result that --result asks for; by default, what the model was made for."""
    short = getattr(model, "short_list", None)
    if options.result is not None:
        return str(options.result)
    return "outputs" if short is None else "argmax" if short.k == 1 else "topk"


def request(
    model: Product, options: argparse.Namespace, use: Use = "run", system: str | None = None
) -> Request:
    """Return the request that the flags make of a model; `use` and `system` are those of `ask`.

    Raises
    ------
    UsageError
        If an option is not for this kind of model.
    TargetError, CoverageError, ValueError
        As for `ask`.
    """
    result = result_of(model, options)
    if isinstance(model, StrassenTileModel):
        if result != "outputs":
            raise UsageError(
                f"--result {result}: a Strassen-Tile model returns outputs; only MADDNESS models "
                "name winners"
            )
    elif options.precision != "float32":
        raise UsageError("--precision is for Strassen-Tile models: leave it out")
    return ask(
        model,
        options.target,
        use=use,
        system=system,
        result=result,
        coverage=options.coverage,
        dtype=options.dtype,
        order=options.order,
        precision=options.precision,
    )


def operator(model: Product, options: argparse.Namespace) -> AnyOperator:
    """Compile a model as the flags say."""
    return operator_of(request(model, options))


def facts_of(model: Product) -> dict[str, Any]:
    """Return the kind, the sizes and the options of a model, for JSON."""
    sizes = {"n_features": model.n_features, "n_outputs": model.n_outputs}
    if isinstance(model, StrassenTileModel):
        return {
            "kind": "strassen-tile",
            **sizes,
            "scheme": model.scheme.name,
            "tile": list(model.scheme.shape),
            "rank": model.scheme.rank,
            "class": model.kind,
            "rows": model.rows,
            "report": model.report,
        }
    return {
        "kind": "maddness",
        **sizes,
        "n_codebooks": model.n_codebooks,
        "n_prototypes": model.n_prototypes,
        "accumulate": model.accumulate,
        "core_rank": model.core.rank if model.core else 0,
        "winners": model.short_list.k if model.short_list else 0,
        "bias": "unknown" if model.bias is None else "some" if model.bias.any() else "none",
        "report": model.report,
    }


def summary(model: Product) -> str:
    """Return a model and its report in words, one to three lines."""
    lines = [repr(model)]
    if isinstance(model, MaddnessModel) and model.short_list:
        lines.append(repr(model.short_list))
    lines.append(str(model.report or "no report: its error is not known"))
    return "\n".join(lines)
