"""The planner of Strassen-Tile kernels: (model, target, signature) → TilePlan, part by part."""

from __future__ import annotations

from maddjit.compiler.conversion import input_of, output_of
from maddjit.compiler.signature import RULES, Choices, Signature
from maddjit.compiler.strassen_tile import settings
from maddjit.compiler.strassen_tile.packing import packed_bias, packed_values
from maddjit.compiler.strassen_tile.plan import (
    DecodePlan,
    EncodePlan,
    FeatureBlock,
    MultiplyPlan,
    Rows,
    StagePlan,
    Step,
    Strip,
    TilePlan,
)
from maddjit.compiler.strassen_tile.straight_line import straight_line
from maddjit.compiler.target import BFLOAT16, Target
from maddjit.compiler.workspace import LINE, Workspace
from maddjit.models.strassen_tile import StrassenTileModel


def make_tile_plan(
    model: StrassenTileModel, target: Target, signature: Signature, choices: Choices = RULES
) -> TilePlan:
    """Return the plan of a kernel: how `model` is computed on `target`.

    Equal arguments give equal plans.

    Raises
    ------
    ValueError
        If something other than rows of outputs is asked for, or the target cannot multiply in the
        precision asked for.
    """
    if signature.result != "outputs" or signature.out_order != "C":
        raise ValueError("a Strassen-Tile kernel has rows of outputs and nothing else")
    if signature.precision == "bfloat16" and not target.bfloat16_products:
        raise ValueError(f"{target.name} does not promise {BFLOAT16}; its with_bfloat16() does")
    rows = cut_rows(model, signature, choices)
    stage = plan_stage(model, target)
    encode = plan_encode(model, signature, rows)
    multiply = plan_multiply(model, target, rows, encode)
    decode = plan_decode(model, signature, multiply)
    return TilePlan(
        symbol=_symbol(model, target, signature),
        target=target,
        signature=signature,
        kind=model.kind,
        n_features=model.n_features,
        n_outputs=model.n_outputs,
        shape=model.scheme.shape,
        rank=model.scheme.rank,
        input=input_of(signature, target),
        output=output_of(signature, target),
        rows=rows,
        stage=stage,
        encode=encode,
        multiply=multiply,
        decode=decode,
        workspace=Workspace().add(
            z=model.scheme.rank * encode.step,
            u=model.scheme.rank * multiply.u_step,
            stage=rows.group * stage.row_step,
            edge=rows.group * decode.edge_row_step,
        ),
        rows_per_thread=_rows_per_thread(model),
        packed=packed_values(
            model.values, encode.n_columns, multiply.panel, signature.precision == "bfloat16"
        ),
        constants=(("bias", packed_bias(model, multiply.panel)),),
    )


def cut_rows(model: StrassenTileModel, signature: Signature, choices: Choices) -> Rows:
    """Return how the rows of A are cut, so that a block's Z stays in a near cache."""
    height = model.scheme.shape[0]
    tile_rows = model.tile_rows if model.rows == "blocks" else settings.TOKEN_TILE_ROWS
    group_bytes = tile_rows * model.scheme.rank * _z_row_step(model, signature)
    groups = min(settings.Z_BYTES // group_bytes, settings.MOST_TILE_ROWS // tile_rows)
    if choices.row_block:
        groups = choices.row_block // (height * tile_rows)
    return Rows(height, tile_rows, max(1, groups), model.rows)


def plan_stage(model: StrassenTileModel, target: Target) -> StagePlan:
    """Return how rows of A are copied, block of columns after block of columns."""
    most, block_step = model.values.shape[1], 4 * _padded_columns(model)
    depth = model.scheme.shape[1]
    blocks = []
    for k in range(depth):
        width = max(0, min(most, model.n_features - k * most))
        whole = width // target.lanes * target.lanes
        blocks.append(FeatureBlock(k * most, width, whole, k * block_step))
    row_step = _spread(depth * block_step)
    return StagePlan(tuple(blocks), block_step, row_step, row_step // target.vector_bytes)


def plan_encode(model: StrassenTileModel, signature: Signature, rows: Rows) -> EncodePlan:
    """Return how tiles of A become Z."""
    height, depth, _ = model.scheme.shape
    n_columns, row_step = _padded_columns(model), _z_row_step(model, signature)
    is_float32_by_rows = (signature.dtype, signature.order) == ("float32", "C")
    return EncodePlan(
        code=straight_line(model.scheme.encode_a, "z"),
        inputs=tuple((i, k) for i in range(height) for k in range(depth)),
        n_columns=n_columns,
        element_bytes=_z_element_bytes(signature),
        row_step=row_step,
        step=_spread((rows.block_tile_rows + settings.SPARE_ROWS) * row_step),
        is_direct=is_float32_by_rows and model.n_features == depth * n_columns,
        direct_step=4 * model.values.shape[1],
    )


def plan_multiply(
    model: StrassenTileModel, target: Target, rows: Rows, encode: EncodePlan
) -> MultiplyPlan:
    """Return how Z is multiplied by V, and how V is cut into panels."""
    block_outputs = model.values.shape[2]
    is_far = model.scheme.rank * encode.step > settings.NEAR_BYTES
    vectors, strips = _micro_kernels(block_outputs, target, is_far)
    panel = vectors * target.lanes
    n_steps = encode.n_columns // (4 // encode.element_bytes)
    return MultiplyPlan(
        strips=strips,
        vectors=vectors,
        lanes=target.lanes,
        unroll=settings.UNROLL,
        rank=model.scheme.rank,
        n_steps=n_steps,
        n_panels=-(-block_outputs // panel),
        passes=tuple(
            (start, min(settings.PASS_STEPS, n_steps - start))
            for start in range(0, n_steps, settings.PASS_STEPS)
        ),
        z_step=encode.row_step,
        u_step=_spread((rows.block_tile_rows + settings.SPARE_ROWS) * 4 * panel),
    )


def plan_decode(
    model: StrassenTileModel, signature: Signature, multiply: MultiplyPlan
) -> DecodePlan:
    """Return how U becomes outputs, and which panels of them are decoded into the edge."""
    height, _, width = model.scheme.shape
    most, itemsize = model.values.shape[2], signature.output.itemsize
    widths = tuple(max(0, min(most, model.n_outputs - j * most)) for j in range(width))
    return DecodePlan(
        code=straight_line(model.scheme.decode, "y"),
        outputs=tuple((i, j) for i in range(height) for j in range(width)),
        widths=widths,
        whole_panels=min(widths) // multiply.panel,
        block_step=most * itemsize,
        panel_step=multiply.panel * itemsize,
        vector_step=multiply.lanes * itemsize,
        edge_row_step=width * multiply.panel * itemsize,
        bias_step=width * multiply.panel_bytes,
    )


def _micro_kernels(
    block_outputs: int, target: Target, is_far: bool
) -> tuple[int, tuple[Strip, ...]]:
    """Return the vectors of a panel, and the strips. A panel that is half empty is made narrower.

    Beside the sums, registers hold V and a number of Z; a product and a copy, too, if products are
    not fused with sums.
    """
    others = 1 if target.fuses else 3
    shapes = settings.FAR_SHAPES if is_far else settings.NEAR_SHAPES
    vectors, heights = next(
        (vectors, heights)
        for vectors, heights in shapes
        if (heights[0] + 1) * vectors + others <= target.n_registers
    )
    widths = [n for n in (vectors, 2, 1) if n <= vectors]
    filled = [-(-block_outputs // (target.lanes * n)) * n for n in widths]
    most = settings.MOST_PADDING * min(filled)
    vectors = next(n for n, width in zip(widths, filled, strict=True) if width <= most)
    between = settings.FETCH_BYTES // (4 * vectors * target.lanes)
    apart = {heights[0]: max(settings.FETCH_STEPS, between)}
    return vectors, tuple(
        Strip(
            f"rows.{rows}",
            rows,
            above,
            _steps(apart.get(rows, settings.FETCH_STEPS), rows if is_far else 0),
        )
        for rows, above in zip(heights, (*heights[1:], 0), strict=True)
    )


def _steps(apart: int, z_rows: int) -> tuple[Step, ...]:
    """Return the steps of a turn; every `apart`-th fetches V, and others the Z of `z_rows` rows."""
    n_steps = settings.UNROLL
    lines = range(-(-4 * z_rows * n_steps // LINE))
    return tuple(
        Step(
            number=step,
            after=step + 1,
            fetches=step % apart == 0,
            z_lines=tuple(line for line in lines if (2 * line + 1) % n_steps == step),
        )
        for step in range(n_steps)
    )


def _padded_columns(model: StrassenTileModel) -> int:
    """Return the columns of a block of A, filled up."""
    n_columns: int = model.values.shape[1]
    return -(-n_columns // settings.PADDED) * settings.PADDED


def _z_element_bytes(signature: Signature) -> int:
    return 2 if signature.precision == "bfloat16" else 4


def _z_row_step(model: StrassenTileModel, signature: Signature) -> int:
    """Return the bytes of Z from one tile row to the next."""
    return _spread(_z_element_bytes(signature) * _padded_columns(model))


def _spread(size: int) -> int:
    """Return the distance of neighbours of `size` bytes: a cache line more than their size.

    The size itself is often a power of two, at which neighbours would share cache sets.
    """
    return size + LINE


def _rows_per_thread(model: StrassenTileModel) -> int:
    """Return the rows whose multiply-adds are worth another thread."""
    of_a_row: float = model.values.size / model.scheme.shape[0]
    return max(1, round(settings.THREAD_OPERATIONS / of_a_row))


def _symbol(model: StrassenTileModel, target: Target, signature: Signature) -> str:
    tile = "x".join(map(str, model.scheme.shape))
    sizes = f"D{model.n_features}_M{model.n_outputs}_T{tile}_R{model.scheme.rank}"
    kind = f"{signature.dtype}_{signature.order}_{signature.precision}"
    kind += f"_{signature.epilogue.dtype}{'_residual' * signature.residual}"
    kind += "_tokens" * (model.rows == "tokens")
    return f"maddjit_strassen_tile_{sizes}_{kind}_{target.name.replace('-', '_')}"
