"""Reports of what operators have compiled: how, why, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.planes.plan import MovePlan
from maddjit.compiler.signature import Choices, Signature
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.strassen_tile import Kind, RowLayout
from maddjit.operators.kernel import Kernel


@dataclass(frozen=True)
class OperatorReport:
    """What an operator has compiled, how and why, and how long that took; ``print`` shows it.

    Attributes
    ----------
    target : str
        The feature level.
    sum_bits, group : int
        The width of the sums, which the tables prove to be enough, and how many codebooks are added
        up in 8 bits before the partial sum is widened.
    table_bytes, code_bytes : int
        The size of the tables, and of the object code, which contains them.
    choices : str
        What was chosen by tuning or by the caller; "the rules" if the planner decided alone.
    timings : dict
        If the operator was tuned: nanoseconds a row for each way that was tried.
    kernels : dict
        How each kernel reads A and scans the tables, and why.
    seconds : dict
        How long each phase of compiling took, for each kernel.
    settling : str
        For exact winners, how long the short lists were at calibration.
    """

    target: str
    sum_bits: int
    group: int
    table_bytes: int
    code_bytes: int
    choices: str
    timings: Mapping[str, float]
    kernels: Mapping[str, str]
    seconds: Mapping[str, Mapping[str, float]]
    settling: str = ""

    def __str__(self) -> str:
        lines = [
            f"target    {self.target}",
            f"sums      {self.sum_bits} bits, {self.group} codebooks per 8-bit partial sum",
            f"tables    {self.table_bytes} bytes in {self.code_bytes} bytes of object code",
            f"chosen by {self.choices}",
        ]
        lines += [f"settles   {self.settling}"] if self.settling else []
        lines += [f"tried     {name}: {ns:.1f} ns a row" for name, ns in self.timings.items()]
        for signature, phases in self.seconds.items():
            lines.append(f"kernel    {signature}: {self.kernels[signature]}")
            lines.append(f"          {how_made(phases)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class TileOperatorReport:
    """What a Strassen-Tile operator has compiled, how exact its results are, and what that took.

    Attributes
    ----------
    kind : {"exact", "rounded", "approximate"}
        "exact": the plain float32 product. "rounded": it differs from the product by the rounding
        of float32 or bfloat16 alone. "approximate": it differs by more, and a row's outputs depend
        on the other rows of its tile.
    rows : {"blocks", "tokens"}
        Which rows share tiles: rows that are far apart, or neighbours within a sequence.
    precision : {"float32", "bfloat16"}
        What the products are computed in.
    scheme : str
        The name of the scheme, its rank and the shape of its tiles.
    saving : float
        How many multiplications the plain product has for each one of the scheme.
    additions : (int, int)
        How many vector operations encode a tile of A, and how many decode a tile of outputs.
    error : str
        The error that was measured when the model was fitted; empty if it was not fitted.
    target : str
        The feature level.
    packed_bytes, code_bytes, workspace_bytes : int
        The size of the encoded B, of the object code, and of the memory that each thread takes.
    seconds : dict
        How long each phase of compiling took, for each kernel.
    """

    kind: Kind
    rows: RowLayout
    precision: str
    scheme: str
    saving: float
    additions: tuple[int, int]
    error: str
    target: str
    packed_bytes: int
    code_bytes: int
    workspace_bytes: int
    seconds: Mapping[str, Mapping[str, float]]

    def __str__(self) -> str:
        mates = ", tiles of neighbouring rows" if self.rows == "tokens" else ""
        lines = [
            f"class     {self.kind}, products in {self.precision}{mates}",
            f"scheme    {self.scheme}: {self.saving:.3g} × fewer multiplications, "
            f"{self.additions[0]} vector operations encode a tile, {self.additions[1]} decode one",
            f"target    {self.target}",
            f"memory    {self.packed_bytes} bytes of encoded B, {self.code_bytes} of object code, "
            f"{self.workspace_bytes} of workspace a thread",
        ]
        lines += [f"error     {self.error}"] if self.error else []
        lines += [f"kernel    {name}: {how_made(took)}" for name, took in self.seconds.items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class ConvolutionReport:
    """What the operator of a convolution has compiled, how, and how long that took.

    Attributes
    ----------
    target : str
        The feature level.
    window : str
        What the convolution sees, in words.
    groups : int
        The number of groups, each with a kernel of its own.
    sum_bits : int
        The width of the sums of the first group.
    table_bytes, code_bytes : int
        The size of the tables, and of the object code, which contains them, of all groups.
    choices : str
        What was chosen by the caller; "the rules" if the planner decided alone.
    error : str
        The error that was measured when the model was fitted; empty if it was not fitted.
    kernels : dict
        How each kernel of the first group reads planes and scans the tables, and why.
    seconds : dict
        How long each phase of compiling took, for each kernel and each movement of planes.
    """

    target: str
    window: str
    groups: int
    sum_bits: int
    table_bytes: int
    code_bytes: int
    choices: str
    error: str
    kernels: Mapping[str, str]
    seconds: Mapping[str, Mapping[str, float]]

    def __str__(self) -> str:
        groups = f", {self.groups} groups" if self.groups > 1 else ""
        lines = [
            f"target    {self.target}",
            f"sees      {self.window}{groups}",
            f"sums      {self.sum_bits} bits",
            f"tables    {self.table_bytes} bytes in {self.code_bytes} bytes of object code",
            f"chosen by {self.choices}",
        ]
        lines += [f"error     {self.error}"] if self.error else []
        lines += [f"kernel    {name}: {how}" for name, how in self.kernels.items()]
        lines += [f"          {name}: {how_made(took)}" for name, took in self.seconds.items()]
        return "\n".join(lines)


def how_made(seconds: Mapping[str, float]) -> str:
    """Return in words whether a kernel was compiled or found in the cache, and how long it took."""
    verb = "compiled" if "llvm" in seconds else "taken from the cache"
    parts = ", ".join(f"{phase} {1e3 * time:.1f}" for phase, time in seconds.items())
    return f"{verb} in {1e3 * sum(seconds.values()):.1f} ms ({parts})"


def report_of(
    default: Kernel[Plan],
    kernels: Mapping[Signature, Kernel[Plan]],
    choices: Choices,
    timings: Mapping[str, float],
) -> OperatorReport:
    """Return the report of an operator's kernels; `default` is the one it was compiled for."""
    plan = default.plan
    named = {_name(signature): kernel for signature, kernel in kernels.items()}
    return OperatorReport(
        target=plan.target.name,
        sum_bits=plan.sum_bits,
        group=plan.group,
        table_bytes=plan.table_bytes,
        code_bytes=default.code_bytes,
        choices=str(choices),
        timings=timings,
        kernels={name: _ways(k.plan) for name, k in named.items()},
        seconds={name: kernel.seconds for name, kernel in named.items()},
    )


def convolution_report_of(
    model: ConvolutionModel,
    default: Signature,
    kernels: Sequence[Mapping[Signature, Kernel[Plan]]],
    moves: Mapping[str, Kernel[MovePlan]],
    choices: Choices,
) -> ConvolutionReport:
    """Return the report of a convolution's kernels, those of each group, and of its movements."""
    first = kernels[0]
    own = [group[default] for group in kernels]
    seconds = {_name(signature): first[signature].seconds for signature in first}
    seconds |= {name: move.seconds for name, move in moves.items()}
    return ConvolutionReport(
        target=own[0].plan.target.name,
        window=str(model.window),
        groups=model.groups,
        sum_bits=own[0].plan.sum_bits,
        table_bytes=sum(kernel.plan.table_bytes for kernel in own),
        code_bytes=sum(kernel.code_bytes for kernel in own),
        choices=str(choices),
        error=model.error,
        kernels={_name(signature): _ways(kernel.plan) for signature, kernel in first.items()},
        seconds=seconds,
    )


def _name(signature: Signature) -> str:
    """Return what a report calls the kernel of a signature."""
    result: str = signature.result
    if result in ("argmax", "winners") and signature.k > 1:
        result = f"top {signature.k}"
    if signature.result == "winners":
        result = f"exact {result}{' with outputs' * signature.scored}"
    if result == "sums":
        result = f"{signature.sums} sums"
    columns = " by columns" if signature.out_order == "F" else ""
    return f"{signature.dtype} {signature.order} → {result}{columns}"


def _ways(plan: Plan) -> str:
    """Return in words how a kernel reads A and scans its tables, and why."""
    ways = [_reading(plan), _scanning(plan)]
    if plan.core:
        ways.insert(1, f"projects rows exactly onto {plan.core.rank} dimensions")
    return "; ".join(ways)


def _reading(plan: Plan) -> str:
    additive = plan.encode.additive
    if additive:
        unit = additive.reading.products.unit
        factors = {4: "four bytes", 2: "two words", 1: "one number"}[unit]
        times = "twice" if len(additive.multiplications) > 1 else "once"
        return (
            f"makes bytes of rows, multiplies them {times}, {factors} at a time, and chooses codes"
        )
    if any(read.is_line for batch in plan.encode.batches for read in batch.reads):
        return "reads whole lines of a row in order and shuffles them, because rows are contiguous"
    if plan.encode.batches:
        return "reads a row's split columns in order, because rows are contiguous"
    if plan.signature.order == "F":
        return "reads vectors of rows from the split columns, because columns are contiguous"
    return "reads elements of several rows into a vector, because columns may lie anywhere"


def _scanning(plan: Plan) -> str:
    if plan.settle and plan.scan:
        return (
            f"looks up all scores for the largest of each {plan.scan.tiles[0].n_outputs}, then "
            "those tiles again that reach into the short list, and settles it exactly"
        )
    if plan.columns and plan.columns.quads:
        reason = f"{plan.group} codebooks fill a byte"
        if plan.columns.quads.by_lanes:
            reason = "four vectors of sums are packed to one of bytes"
        return (
            f"looks up four codebooks at once and adds 32-bit sums, because columns of the result "
            f"are contiguous and {reason}"
        )
    if plan.columns:
        tile = plan.columns.tiles[0]
        return (
            f"byte shuffles, {tile.n_outputs} outputs × {tile.rows} rows at a time, "
            f"because columns of the result are contiguous"
        )
    if plan.scan and plan.scan.streams:
        rows = plan.scan.streams.packed_rows
        many = f"; from {rows} rows on, packs the tables of a tile first" if rows else ""
        return (
            f"adds table rows of {plan.scan.tiles[0].n_outputs} outputs, which are read as long "
            f"streams, because the tables exceed near caches{many}"
        )
    if plan.scan:
        planes = plan.scan.tiles[0].planes
        why = "because rows of the result are contiguous"
        if plan.scan.turn:
            why = "which become columns, because the target has no byte shuffle for these tables"
        return f"adds table rows of {sum(plane.lanes for plane in planes)} outputs, {why}"
    return "stores the codes"
