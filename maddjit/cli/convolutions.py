"""What ``maddjit compile``, ``inspect`` and ``bench`` do with convolutions."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import INPUTS, Format, float32_to_bfloat16
from maddjit.cli import kernels
from maddjit.cli.answers import Answer, UsageError
from maddjit.cli.inputs import InputError, read
from maddjit.cli.turns import take_turns
from maddjit.compiler import cache
from maddjit.compiler.outline import outlined
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.storage import provenance_of
from maddjit.operators.convolution import ConvolutionOperator
from maddjit.pipeline import compile as compile_model
from maddjit.selection.blas import one_thread


def compiled(model: ConvolutionModel, options: argparse.Namespace) -> Answer:
    """Compile a convolution, so that later processes find its code in the cache."""
    op = _operator(model, options)
    facts = {"model": facts_of(model), "report": op.report, "cache": cache.info()}
    return Answer(f"{op!r}\n{op.report}\ncache     {cache.info()}", facts)


def inspected(model: ConvolutionModel, options: argparse.Namespace) -> Answer:
    """Show a convolution and the plan or the code of its first group's kernel."""
    op = _operator(model, options)
    facts: dict[str, Any] = {
        "model": facts_of(model),
        "provenance": provenance_of(options.model),
        "report": op.report,
    }
    if options.asm or options.ir:
        text = op.asm() if options.asm else op.ir(options.ir)
        return Answer(text, {**facts, "assembly" if options.asm else options.ir: text})
    lines = [repr(model), model.error or "no report: its error is not known"]
    lines += [str(op.report), "plan", outlined(op.plan)]
    return Answer("\n".join(lines), {**facts, "plan": op.plan})


def facts_of(model: ConvolutionModel) -> dict[str, Any]:
    """Return the kind, the sizes and the options of a convolution, for JSON."""
    return {
        "kind": "convolution",
        "n_channels": model.n_channels,
        "n_outputs": model.n_outputs,
        "groups": model.groups,
        "window": vars(model.window),
        "fill": model.fill,
        "n_codebooks": model.products[0].n_codebooks,
        "n_prototypes": model.products[0].n_prototypes,
        "reports": [product.report for product in model.products],
    }


def timed(model: ConvolutionModel, options: argparse.Namespace) -> Answer:
    """Time a convolution on planes from a file.

    Raises
    ------
    UsageError
        If there is none: a convolution takes planes of any size.
    """
    if options.rows is None:
        raise UsageError("--rows with planes (N, C, H, W) is needed: a convolution takes any size")
    given = planes_in(options.rows, options.n)
    op = _operator(model, options)
    x = in_format(given, INPUTS[options.dtype])
    out = op(x)
    with one_thread():
        seconds = take_turns({"": lambda: op(x, out=out)}, options.rounds)[""]
    times = per_image(seconds, len(x))
    told = f"{x.shape[0]} images of {x.shape[2]} × {x.shape[3]}, {options.dtype}, one thread"
    facts = {
        "model": facts_of(model),
        "target": op.target.name,
        "shape": list(x.shape),
        "dtype": options.dtype,
        "rounds": options.rounds,
        "microseconds_an_image": times,
    }
    return Answer("\n".join([repr(op), told, time_words(times)]), facts)


def planes_in(source: str, n_images: int | None) -> NDArray[Any]:
    """Return the images of a file; repeated or cut, if there shall be so many."""
    given = read(source, "--rows", ndim=4).array
    return given if n_images is None else np.resize(given, (n_images, *given.shape[1:]))


def in_format(planes: NDArray[Any], form: Format) -> NDArray[Any]:
    """Return planes in a number format.

    Raises
    ------
    InputError
        If they are not whole numbers that it can hold, where it holds whole numbers alone.
    """
    if form.name == "bfloat16":
        return float32_to_bfloat16(planes.astype(np.float32))
    with np.errstate(invalid="ignore", over="ignore"):
        found: NDArray[Any] = planes.astype(form.dtype)
    if form.dtype.kind in "iu" and not np.array_equal(found, planes):
        raise InputError(f"--rows hold numbers that {form.name} cannot hold")
    return found


def per_image(seconds: NDArray[np.float64], n_images: int) -> list[float]:
    """Return the quartiles of the time of an image, in microseconds, from times of calls."""
    return [float(1e6 * each / n_images) for each in np.percentile(seconds, [25, 50, 75])]


def time_words(times: list[float]) -> str:
    """Return quartiles of the time of an image in words."""
    low, median, high = times
    return f"{median:.4g} µs an image ({low:.4g} … {high:.4g}), {1e6 / median:.4g} images a second"


def _operator(model: ConvolutionModel, options: argparse.Namespace) -> ConvolutionOperator:
    """Compile a convolution as the flags say."""
    kernels.check_flags(options, "convolutions", ("dtype",))
    return compile_model(model, options.target, dtype=options.dtype)
