"""``maddjit compile`` and ``maddjit inspect``: what becomes of a model, kept and shown."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from maddjit.arrays.files import write_whole
from maddjit.arrays.formats import INPUTS
from maddjit.cli import kernels, page
from maddjit.cli.answers import Answer, UsageError, jsonable
from maddjit.cli.inputs import InputError, read
from maddjit.cli.outputs import check_output
from maddjit.compiler import cache
from maddjit.compiler.target import TargetError
from maddjit.looking.listing import CONSTANTS, Listing, annotated
from maddjit.models.storage import load, provenance_of
from maddjit.pipeline import AnyOperator, Stage, text_of


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    warming = commands.add_parser(
        "compile", parents=[common], help="compile for this machine and keep the code in the cache"
    )
    kernels.add_flags(warming)
    warming.add_argument(
        "--also", nargs="+", default=[], metavar="DTYPE:ORDER", help="further kernels: float64:F"
    )
    warming.set_defaults(run=_compile)

    showing = commands.add_parser(
        "inspect", parents=[common], help="show the plan, IR or assembly of a model, or all"
    )
    kernels.add_flags(showing)
    shown = showing.add_mutually_exclusive_group()
    shown.add_argument(
        "--asm",
        nargs="?",
        const="stages",
        choices=("stages", "plain"),
        help="the assembly, annotated by stages or as it is",
    )
    shown.add_argument(
        "--ir",
        nargs="?",
        const="template",
        choices=("template", "optimized"),
        help="the LLVM IR as rendered, or after LLVM's passes",
    )
    shown.add_argument("--html", metavar="FILE", help="write all of it as a page")
    showing.add_argument("--rows", metavar="A", help="rows whose codes --html draws")
    showing.add_argument("--codebook", type=int, default=0, help="whose tree --html draws")
    showing.set_defaults(run=_inspect)


def _compile(options: argparse.Namespace) -> Answer:
    also = [_kernel_of(words) for words in options.also]
    model = load(options.model)
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
            f"--also {words}: expected dtype:order of {', '.join(INPUTS)} and "
            f"{', '.join(kernels.ORDERS)}"
        )
    return dtype, order or "C"


def _inspect(options: argparse.Namespace) -> Answer:
    if options.rows is not None and options.html is None:
        raise UsageError("--rows is for --html")
    if options.html is not None:
        check_output(options.html, options.model, options.rows)
    model = load(options.model)
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
        plan = (f"{name:<20}{value}" for name, value in plan_lines(op))
        lines = [kernels.described(model), str(op.report), "plan", *plan]
        return Answer("\n".join(lines), facts)
    if options.asm == "stages":
        return _listed(annotated(op.ir(), op.target), facts)
    text = op.asm() if options.asm else op.ir(options.ir)
    return Answer(text, {**facts, stage: text})


def plan_lines(op: AnyOperator) -> list[tuple[str, str]]:
    """Return the fields of an operator's plan as text, constants by their size."""
    plan = op.plan
    lines = []
    for name in (field.name for field in fields(plan)):
        value = getattr(plan, name)
        if name == "target":
            value = value.name
        elif name == "constants":
            value = ", ".join(f"{key}: {len(content)} bytes" for key, content in value)
        elif hasattr(value, "nbytes"):
            value = f"{value.dtype} of shape {value.shape}"
        lines.append((name, str(value)))
    return lines


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
    text, n_figures = page.page(
        op,
        name=Path(options.model).name,
        provenance=jsonable(facts["provenance"]),
        plan=plan_lines(op),
        listing=listing,
        rows=rows,
        codebook=options.codebook,
    )
    content = text.encode()
    write_whole(options.html, content)
    told = f"{options.html}: {len(content)} bytes, {n_figures} figures"
    if not n_figures:
        told += " (they need Matplotlib: pip install 'maddjit[plot]')"
    return Answer(told, {**facts, "html": options.html, "figures": n_figures})
