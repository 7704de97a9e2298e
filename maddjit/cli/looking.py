"""``maddjit compile`` and ``maddjit inspect``: compile a model, and show its plan and code."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from maddjit.arrays.files import write_whole
from maddjit.arrays.formats import INPUTS
from maddjit.cli import convolutions, kernels, networks, page
from maddjit.cli.answers import Answer, UsageError, jsonable
from maddjit.cli.commands import add_command
from maddjit.cli.inputs import InputError, read
from maddjit.cli.outputs import check_output
from maddjit.compiler import cache
from maddjit.compiler.outline import outline, outlined
from maddjit.compiler.target import TargetError
from maddjit.looking.listing import CONSTANTS, Listing, annotated
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.network import Network
from maddjit.models.storage import load, provenance_of
from maddjit.pipeline import AnyOperator, Stage, text_of


def add(commands: Any) -> None:
    """Add the commands."""
    _add_compile(commands)
    _add_inspect(commands)


def _add_compile(commands: Any) -> None:
    parser = add_command(
        commands,
        "compile",
        _compile,
        "compile for this machine and keep the code in the cache",
        "Compile a model for this machine, so that later processes find its code in the cache.",
        "maddjit compile model.npz",
        "maddjit compile model.npz --dtype float64 --also float32:F uint8:C",
    )
    kernels.add_flags(parser)
    parser.add_argument(
        "--also",
        nargs="+",
        default=[],
        metavar="DTYPE:ORDER",
        help="kernels for other dtypes and layouts of A to compile as well, such as float64:F",
    )


def _add_inspect(commands: Any) -> None:
    parser = add_command(
        commands,
        "inspect",
        _inspect,
        "show the plan, IR or assembly of a model, or all",
        "Show a model and its report, how it is compiled (the plan), or its code.",
        "maddjit inspect model.npz",
        "maddjit inspect model.npz --asm",
        "maddjit inspect model.npz --ir --target aarch64",
        "maddjit inspect model.npz --html model.html --rows A.npy",
    )
    kernels.add_flags(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--asm",
        nargs="?",
        const="stages",
        choices=("stages", "plain"),
        help="show the assembly, in stages with counts and notes, or plain (default: stages)",
    )
    shown.add_argument(
        "--ir",
        nargs="?",
        const="template",
        choices=("template", "optimized"),
        help="show the LLVM IR as the template renders it, or as LLVM's passes leave it "
        "(default: template)",
    )
    shown.add_argument(
        "--html", metavar="FILE", help="write all of it, with figures, as a web page"
    )
    parser.add_argument("--rows", metavar="A", help="rows whose codes the figures of --html count")
    parser.add_argument(
        "--codebook",
        type=int,
        default=0,
        metavar="INDEX",
        help="the codebook whose tree or prototypes --html draws (default: 0)",
    )


def _compile(options: argparse.Namespace) -> Answer:
    also = [_kernel_of(words) for words in options.also]
    model = load(options.model)
    if isinstance(model, ConvolutionModel):
        return convolutions.compiled(model, options)
    if isinstance(model, Network):
        return networks.compiled(model, options)
    op = kernels.operator(model, options)
    for dtype, order in also:
        op.kernel(dtype, order)
    seconds = op.report.seconds
    origins = {
        name: "compiled" if "llvm" in phases else "from the cache"
        for name, phases in seconds.items()
    }
    kept = cache.info()
    lines = [repr(op), str(op.report)]
    lines += [f"{origin:<16}{name}" for name, origin in origins.items()]
    lines.append(f"cache     {kept}")
    facts = {
        "model": kernels.facts_of(model),
        "report": op.report,
        "kernels": origins,
        "cache": kept,
    }
    return Answer("\n".join(lines), facts)


def _kernel_of(words: str) -> tuple[str, Any]:
    dtype, _, order = words.partition(":")
    if dtype not in INPUTS or (order or "C") not in kernels.ORDERS:
        raise UsageError(
            f"--also {words}: expected dtype:order, with a dtype of {', '.join(INPUTS)} and an "
            f"order of {', '.join(kernels.ORDERS)}"
        )
    return dtype, order or "C"


def _inspect(options: argparse.Namespace) -> Answer:
    if options.rows is not None and options.html is None:
        raise UsageError("--rows is for the figures of --html: add --html or leave it out")
    if options.html is not None:
        check_output(options.html, options.model, options.rows)
    model = load(options.model)
    if isinstance(model, ConvolutionModel):
        return convolutions.inspected(model, options)
    if isinstance(model, Network):
        return networks.inspected(model, options)
    stage: Stage | None = "assembly" if options.asm else options.ir
    facts: dict[str, Any] = {"model": kernels.facts_of(model)}
    if stage and options.target:  # any target can be shown, also one that cannot run here
        request = kernels.request(model, options, "show")
        if options.asm == "stages":
            ir = text_of(request, "template")
            return _listed(annotated(ir, request.target, apart=True), facts)
        text = text_of(request, stage)
        return Answer(text, {**facts, stage: text})
    try:
        op = kernels.operator(model, options)
    except TargetError as error:
        hint = " On the command line that is --asm or --ir." if options.target else ""
        raise TargetError(f"{error}{hint}") from error
    facts["provenance"] = provenance_of(options.model)
    facts["report"] = op.report
    if stage is None:
        facts["plan"] = op.plan
        if options.html is not None:
            return _paged(op, options, facts)
        lines = [kernels.summary(model), str(op.report), "plan", outlined(op.plan)]
        return Answer("\n".join(lines), facts)
    if options.asm == "stages":
        return _listed(annotated(op.ir(), op.target), facts)
    text = op.asm() if options.asm else op.ir(options.ir)
    return Answer(text, {**facts, stage: text})


def _listed(listing: Listing, facts: dict[str, Any]) -> Answer:
    sections = [
        {"stage": section.stage, "assembly": "\n".join(section.lines)}
        for section in listing.sections
        if section.stage != CONSTANTS
    ]
    found = {"stages": listing.counts, "largest_loop": listing.largest, "sections": sections}
    return Answer(listing.text(), {**facts, **found})


def _paged(op: AnyOperator, options: argparse.Namespace, facts: dict[str, Any]) -> Answer:
    rows, n_features = None, op.model.n_features
    if options.rows is not None:
        rows = read(options.rows, "--rows").array
        if rows.shape[1] != n_features:
            raise InputError(
                f"--rows: {options.rows} must have {n_features} columns, not shape {rows.shape}"
            )
    listing = annotated(op.ir(), op.target)
    text, n_figures = page.html_page(
        op,
        name=Path(options.model).name,
        provenance=jsonable(facts["provenance"]),
        plan=outline(op.plan),
        listing=listing,
        rows=rows,
        codebook=options.codebook,
    )
    content = text.encode()
    write_whole(options.html, content)
    told = f"{options.html}: {len(content)} bytes, {n_figures} figures"
    if not n_figures:
        told += " (figures need Matplotlib: pip install 'maddjit[plot]')"
    return Answer(told, {**facts, "html": options.html, "figures": n_figures})
