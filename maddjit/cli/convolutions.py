"""What ``maddjit compile`` and ``maddjit inspect`` do with convolutions."""

from __future__ import annotations

import argparse
from typing import Any

from maddjit.cli.answers import Answer, UsageError
from maddjit.compiler import cache
from maddjit.compiler.outline import outlined
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.storage import provenance_of
from maddjit.operators.convolution import ConvolutionOperator
from maddjit.pipeline import compile as compile_model


def compiled(model: ConvolutionModel, options: argparse.Namespace) -> Answer:
    """Compile a convolution, so that later processes find its code in the cache."""
    op = _operator(model, options)
    facts = {"model": facts_of(model), "report": op.report, "cache": cache.info()}
    return Answer(f"{op!r}\n{op.report}\ncache     {cache.info()}", facts)


def inspected(model: ConvolutionModel, options: argparse.Namespace) -> Answer:
    """Show a convolution and the plan or the code of its first group's kernel."""
    if options.html is not None or options.asm == "stages":
        raise UsageError("a convolution is shown as a plan, --ir or --asm plain")
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


def _operator(model: ConvolutionModel, options: argparse.Namespace) -> ConvolutionOperator:
    """Compile a convolution as the flags say."""
    if (options.order, options.precision) != ("C", "float32") or options.result not in (
        None,
        "outputs",
    ):
        raise UsageError("--order, --result and --precision are not for convolutions")
    if getattr(options, "also", None):
        raise UsageError("--also is not for convolutions")
    return compile_model(model, options.target, dtype=options.dtype)
