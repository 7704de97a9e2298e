"""Pictures of looking up: a row in a tree, its codes, and the rows of tables that they name."""

from __future__ import annotations

from typing import Any

import numpy as np
import svg
from example_models import WIDTH, Example
from numpy.typing import NDArray
from picture_parts import curve_of, heat, signed

import maddjit


def tree(shown: Example) -> str:
    """Draw a row that falls through one tree, and which rows of training are in its leaves."""
    model, row = shown.model, shown.rows[shown.shown]
    codebook = shown.codebook
    dims, thresholds = model.split_dims[codebook], model.thresholds[codebook]
    leaf_of = maddjit.reference.encode(model, shown.A_train)[:, codebook]
    code = int(maddjit.reference.encode(model, row)[codebook])
    depth, top, step = len(dims), 158, 66
    below = top + step * depth
    edges, nodes = _nodes(thresholds, code, top, step)
    labels = []
    for level, dim in enumerate(dims):
        y = top + step * level - (29 if level else 2)
        labels.append(svg.text(0, y, f"column {dim}", class_="small start"))
        labels.append(svg.text(0, y + 13, signed(row[dim]), class_="small strong warm start"))
    turns = ", ".join(
        f"column {dim} is {row[dim]:.2f}: {'right' if code >> (depth - 1 - level) & 1 else 'left'}"
        for level, dim in enumerate(dims)
    )
    return svg.drawing(
        "picture-tree",
        WIDTH,
        below + 82,
        "A row falls through a tree",
        f"A row of {len(row)} numbers, drawn as bars, passes {depth} comparisons of a binary tree: "
        f"{turns}. It arrives at leaf {code} of {model.n_prototypes}. Each leaf shows sample rows "
        "that arrived there, as curves; they are alike where the tree looked.",
        *_row_of_bars(row, dims),
        *edges,
        *nodes,
        *labels,
        *_leaves(shown.A_train, leaf_of, row, code, model.n_prototypes, below),
        svg.text(
            WIDTH / 2, below + 78, "leaves: sample rows as curves; below, the codes", class_="small"
        ),
    )


def _nodes(
    thresholds: NDArray[np.float32], code: int, top: float, step: float
) -> tuple[list[str], list[str]]:
    """Draw the branches and the comparisons of a tree, and the way to a leaf."""
    edges: list[str] = []
    nodes: list[str] = []
    depth = len(thresholds).bit_length()
    for place, threshold in enumerate(thresholds, start=1):
        level = place.bit_length() - 1
        node = place - 2**level
        on_way = code >> (depth - level) == node
        x, y = WIDTH * (node + 0.5) / 2**level, top + step * level
        for right in (0, 1):
            x2 = WIDTH * (2 * node + right + 0.5) / 2 ** (level + 1)
            end = y + step - (11 if level + 1 < depth else 3)
            followed = on_way and code >> (depth - level - 1) == 2 * node + right
            edges.append(svg.curve(x, y + 10, x2, end, class_="way" if followed else "branch"))
        words = f"≥ {signed(threshold)}" if np.isfinite(threshold) else "–"
        nodes.append(
            svg.rect(x - 24, y - 11, 48, 22, rx=11, class_="node on" if on_way else "node")
        )
        nodes.append(svg.text(x, y + 4, words, class_="small strong" if on_way else "small"))
    nodes.append(svg.text(WIDTH / 4 + 36, top + 14, "no", class_="small"))
    nodes.append(svg.text(WIDTH * 3 / 4 - 36, top + 14, "yes", class_="small"))
    return edges, nodes


def _leaves(
    rows: NDArray[np.float32],
    leaf_of: NDArray[np.uint8],
    row: NDArray[np.float32],
    code: int,
    n_leaves: int,
    y: float,
) -> list[str]:
    """Draw each leaf as a box with rows that arrive there, and its number."""
    side, parts = WIDTH / n_leaves, []
    for leaf in range(n_leaves):
        here, x = leaf == code, leaf * side
        threads = [
            curve_of(member, x + 5, y + 22, side - 10, 15, "thread")
            for member in rows[leaf_of == leaf][:20]
        ]
        parts += [svg.rect(x + 2, y, side - 4, 44, rx=4, class_="leaf on" if here else "leaf")]
        parts += threads
        if here:
            parts.append(curve_of(row, x + 5, y + 22, side - 10, 15, "way"))
        parts.append(
            svg.text(x + side / 2, y + 60, str(leaf), class_="strong warm" if here else "small")
        )
    return parts


def _row_of_bars(row: NDArray[np.float32], dims: NDArray[Any]) -> list[str]:
    """Draw the numbers of a row as bars, those that are compared in full colour."""
    side, top, high = 21, 32, 72
    scale = high / (max(row.max(), 0) - min(row.min(), 0))
    middle, left = top + max(row.max(), 0) * scale, (WIDTH - 21 * len(row)) / 2
    parts = [svg.text(WIDTH / 2, 10, f"one row of A: {len(row)} numbers", class_="strong")]
    for j, value in enumerate(row):
        height, x = float(abs(value) * scale), left + j * side
        compared = j in dims
        parts += [
            svg.rect(
                x + 2,
                middle - height if value > 0 else middle,
                side - 4,
                height,
                rx=2,
                class_="warm" if compared else "faint",
            ),
            svg.text(x + side / 2, 122, str(j), class_="small strong" if compared else "small"),
        ]
    parts.append(svg.line(left - 2, middle, WIDTH - left + 2, middle, class_="hair"))
    return parts


def codes(shown: Example) -> str:
    """Draw rows as colours, and what is left of them: a code from each tree."""
    rows, found = shown.rows, maddjit.reference.encode(shown.model, shown.rows)
    cell, high, wide, top = 12, 19, 26, 34
    left_width, codes_width = cell * rows.shape[1], wide * found.shape[1]
    right, middle = WIDTH - codes_width, top + (shown.shown + 0.5) * high
    parts = [
        svg.text(left_width / 2, 12, "rows of A", class_="strong"),
        svg.text(left_width / 2, 27, f"{rows.shape[1]} numbers each", class_="small"),
        svg.text(right + codes_width / 2, 12, "their codes", class_="strong"),
        svg.text(right + codes_width / 2, 27, "4 codes, 0 to 7", class_="small"),
        svg.text((left_width + right) / 2, middle - 8, "4 trees", class_="small"),
        svg.arrow(left_width + 10, middle, right - 10, middle),
    ]
    for i, (row, line) in enumerate(zip(rows, found, strict=True)):
        y = top + i * high
        parts += [
            svg.rect(j * cell, y, cell - 1, high - 1, **heat(value, 2.4))
            for j, value in enumerate(row)
        ]
        for c, code in enumerate(line):
            x = right + c * wide
            shade = f"{0.08 + 0.09 * int(code):.2f}"
            parts.append(
                svg.rect(x, y, wide - 1, high - 1, rx=2, class_="cold", fill_opacity=shade)
            )
            parts.append(svg.text(x + wide / 2, y + 13, str(code), class_="small strong"))
    y = top + shown.shown * high
    for x, width in ((0, left_width), (right, codes_width)):
        parts.append(svg.rect(x - 2, y - 2, width + 3, high + 3, rx=3, class_="ring"))
    return svg.drawing(
        "picture-codes",
        WIDTH,
        top + len(rows) * high + 4,
        "Rows become codes",
        f"Twelve rows of {rows.shape[1]} numbers, drawn as warm and cold squares, become twelve "
        "rows of four codes from 0 to 7. The row of the drawing above has the codes "
        f"{found[shown.shown].tolist()}.",
        *parts,
    )


def table(shown: Example) -> str:
    """Draw the four tables, the row that each code names, their sum, and what it stands for."""
    model, row = shown.model, shown.rows[shown.shown]
    found = maddjit.reference.encode(model, row)
    cell, top, gap = 12.5, 36, 20
    width = cell * model.n_outputs
    left, largest = (WIDTH - 4 * width - 3 * gap) / 2, int(model.tables.max())
    parts = [
        svg.text(WIDTH / 2, 12, "a table for each codebook, a row for each code", class_="strong")
    ]
    for c, code in enumerate(found):
        x = left + c * (width + gap)
        parts.append(svg.text(x + width / 2, 29, f"code {code}", class_="small strong warm"))
        for k, entries in enumerate(model.tables[c]):
            parts += [
                svg.rect(
                    x + m * cell,
                    top + k * cell,
                    cell - 1,
                    cell - 1,
                    class_="cold",
                    fill_opacity=f"{0.06 + 0.84 * int(entry) / largest:.2f}",
                )
                for m, entry in enumerate(entries)
            ]
        y = top + int(code) * cell
        parts.append(svg.rect(x - 2.5, y - 2.5, width + 4, cell + 4, rx=3, class_="ring"))
        if c:
            parts.append(svg.text(x - gap / 2, top + 4 * cell + 4, "+", class_="strong"))
    return svg.drawing(
        "picture-table",
        WIDTH,
        top + 8 * cell + 184,
        "A table row is added for each code",
        "Four tables of 8 rows and 6 columns of bytes. The row's codes name one row of each table. "
        f"Their sum is {maddjit.reference.sums(model, row).tolist()}. Times the scales, plus the "
        f"offsets, this is {np.round(maddjit.reference.apply(model, row), 1).tolist()}; the exact "
        f"product is {np.round(row @ shown.B, 1).tolist()}.",
        *parts,
        *_sums(shown, top + 8 * cell + 20),
    )


def _sums(shown: Example, y: float) -> list[str]:
    """Draw the summed entries as numbers, and the outputs beside the exact ones as bars."""
    model, row = shown.model, shown.rows[shown.shown]
    added = maddjit.reference.sums(model, row)
    given, exact = maddjit.reference.apply(model, row), row @ shown.B
    side, high = 52.0, 84.0
    left = (WIDTH - side * model.n_outputs) / 2
    both = np.append(given, exact)
    scale = high / float(max(both.max(), 0) - min(both.min(), 0))
    base = y + 54 + float(max(both.max(), 0)) * scale
    legend = y + 54 + high + 12
    parts = [
        svg.text(WIDTH / 2, y, "four rows of bytes, added", class_="small"),
        svg.text(WIDTH / 2, y + 44, "times a scale, plus an offset: the outputs", class_="small"),
        svg.line(left, base, WIDTH - left, base, class_="hair"),
    ]
    for m, total in enumerate(added):
        x = left + m * side
        parts.append(svg.rect(x + 2, y + 6, side - 4, 22, rx=3, class_="cold", fill_opacity="0.2"))
        parts.append(svg.text(x + side / 2, y + 21, str(total), class_="strong"))
        for value, place, colour in ((given[m], 8, "warm"), (exact[m], 27, "faint")):
            height = float(abs(value)) * scale
            parts.append(
                svg.rect(
                    x + place, base - height if value > 0 else base, 17, height, rx=2, class_=colour
                )
            )
    parts += [
        svg.rect(WIDTH / 2 - 106, legend, 10, 10, rx=2, class_="warm"),
        svg.text(WIDTH / 2 - 92, legend + 9, "looked up", class_="small start"),
        svg.rect(WIDTH / 2 + 6, legend, 10, 10, rx=2, class_="faint"),
        svg.text(WIDTH / 2 + 20, legend + 9, "the exact product", class_="small start"),
    ]
    return parts
