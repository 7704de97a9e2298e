"""The drawings of "How it works": each shows a small model that is fitted when the page is built.

A function per drawing, from what was learned to the text of an SVG. All are 360 wide, as a phone
is, and every number in them is one that the model holds or the definition computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import svg
from numpy.typing import NDArray

import maddjit

WIDTH = 360
N_FEATURES = 16


@dataclass(frozen=True)
class Example:
    """What is drawn.

    Attributes
    ----------
    model : maddjit.MaddnessModel
        Four codebooks of eight codes, from 16 columns to six outputs.
    A_train : (3000, 16) float32
        Smooth curves of 16 samples.
    rows : (12, 16) float32
        Like them, not fitted to.
    shown : int
        The row of these that falls through the trees.
    codebook : int
        The tree that is drawn, one that compares more than one column if there is such a tree.
    B : (16, 6) float32
    ranking : maddjit.MaddnessModel
        A calibrated model of 24 outputs.
    queries : (1000, 16) float32
        Rows for it.
    """

    model: maddjit.MaddnessModel
    A_train: NDArray[np.float32]
    rows: NDArray[np.float32]
    shown: int
    codebook: int
    B: NDArray[np.float32]
    ranking: maddjit.MaddnessModel
    queries: NDArray[np.float32]


@cache
def example() -> Example:
    """Fit the models: a second or two."""
    rng = np.random.default_rng(4)
    waves = np.cos(np.pi * np.outer(np.arange(5), np.arange(N_FEATURES) + 0.5) / N_FEATURES)
    size = np.array([0.3, 1.0, 0.8, 0.4, 0.15])

    def curves(n: int) -> NDArray[np.float32]:
        return (rng.standard_normal((n, len(size))) * size @ waves).astype(np.float32)

    A_train, B = curves(3000), rng.standard_normal((N_FEATURES, 6)).astype(np.float32)
    model = maddjit.fit(A_train, B, n_codebooks=4, n_prototypes=8)
    many = rng.standard_normal((N_FEATURES, 24)).astype(np.float32)
    ranking = maddjit.fit(A_train, many, n_codebooks=4, n_prototypes=8, objective="argmax")
    ranking = maddjit.calibrate(ranking, curves(3000), many)
    rows = curves(12)
    rows = rows[np.argsort(rows @ waves[1])]
    codebook = max(range(4), key=lambda c: len(set(model.split_dims[c])))
    # Of the rows that turn both ways in this tree, one whose compared numbers can be seen.
    turns = ~np.isin(maddjit.reference.encode(model, rows)[:, codebook], (0, 7))
    seen = np.abs(rows[:, model.split_dims[codebook]]).min(axis=1)
    shown = int((seen * turns).argmax())
    return Example(model, A_train, rows, shown, codebook, B, ranking, curves(1000))


def _heat(value: float, largest: float) -> dict[str, float | str]:
    """Return the colour of a number: warm above zero, cold below, paler towards zero."""
    share = min(abs(value) / largest, 1.0)
    return {"class_": "warm" if value > 0 else "cold", "fill_opacity": f"{0.06 + 0.84 * share:.2f}"}


def _matrix(
    values: NDArray[Any], x: float, y: float, cell: float, largest: float, gap: float = 1
) -> list[str]:
    return [
        svg.rect(x + j * cell, y + i * cell, cell - gap, cell - gap, **_heat(value, largest))
        for i, line in enumerate(values)
        for j, value in enumerate(line)
    ]


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


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
        labels.append(svg.text(0, y + 13, _signed(row[dim]), class_="small strong warm start"))
    turns = ", ".join(
        f"column {dim} is {row[dim]:.2f}: {'right' if code >> (depth - 1 - level) & 1 else 'left'}"
        for level, dim in enumerate(dims)
    )
    return svg.drawing(
        "picture-tree",
        WIDTH,
        below + 66,
        "A row falls through a tree",
        f"A row of {len(row)} numbers, drawn as bars, passes {depth} comparisons of a binary tree: "
        f"{turns}. It arrives at leaf {code} of {model.n_prototypes}. Each leaf shows sample rows "
        "that arrived there; they look alike.",
        *_row_of_bars(row, dims),
        *edges,
        *nodes,
        *labels,
        *_leaves(shown.A_train, leaf_of, row, code, model.n_prototypes, below),
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
        words = f"≥ {_signed(threshold)}" if np.isfinite(threshold) else "–"
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
            _curve_of(member, x + 5, y + 22, side - 10, 15, "thread")
            for member in rows[leaf_of == leaf][:20]
        ]
        parts += [svg.rect(x + 2, y, side - 4, 44, rx=4, class_="leaf on" if here else "leaf")]
        parts += threads
        if here:
            parts.append(_curve_of(row, x + 5, y + 22, side - 10, 15, "way"))
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


def _curve_of(
    row: NDArray[np.float32], x: float, middle: float, width: float, height: float, class_: str
) -> str:
    step = width / (len(row) - 1)
    points = [
        (x + j * step, middle - float(np.clip(v / 2.6, -1.2, 1.2)) * height)
        for j, v in enumerate(row)
    ]
    return svg.path(points, class_=class_)


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
            svg.rect(j * cell, y, cell - 1, high - 1, **_heat(value, 2.4))
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


def short_list(shown: Example, coverage: float = 0.99) -> str:
    """Draw the scores of a row's outputs, those in doubt, and which of them wins."""
    model, query = shown.ranking, _doubtful(shown, coverage)
    made = model.short_list
    assert made is not None
    scores = maddjit.reference.scores(model, made.tables, query)
    margin, best = made.margin(coverage), int(scores.max())
    listed = np.flatnonzero(scores >= best - margin)
    exact = query @ made.B + made.bias
    winner = int(listed[exact[listed].argmax()])
    side, top, base = WIDTH / len(scores), 44, 190
    low = int(scores.min()) - 6

    def height(score: float) -> float:
        return base - (base - top) * (score - low) / (best - low)

    parts = [
        svg.text(WIDTH / 2, 12, f"looked-up scores of {len(scores)} outputs", class_="strong"),
        svg.rect(0, top, WIDTH, height(best - margin) - top, class_="warm", fill_opacity="0.12"),
        svg.text(0, top - 6, f"within {margin} of the best: in doubt", class_="small start"),
        svg.line(0, base, WIDTH, base, class_="hair"),
    ]
    for m, score in enumerate(scores):
        x, y, doubt = (m + 0.5) * side, height(float(score)), m in listed
        parts.append(svg.line(x, base, x, y, class_="way" if doubt else "branch"))
        parts.append(svg.circle(x, y, 4, class_="warm" if doubt else "faint"))
        if doubt:
            parts.append(svg.text(x, base + 14, str(m), class_="small strong"))
    return svg.drawing(
        "picture-list",
        WIDTH,
        base + 130,
        "A short list is settled",
        f"Scores of {len(scores)} outputs as upright lines. {len(listed)} of them, outputs "
        f"{listed.tolist()}, are within {margin} of the best and are multiplied exactly. "
        f"Output {winner} has the largest exact product and wins.",
        *parts,
        *_settled(listed, exact, winner, int(scores.argmax()), base),
    )


def _settled(
    listed: NDArray[Any],
    exact: NDArray[np.float32],
    winner: int,
    leader: int,
    y: float,
) -> list[str]:
    """Draw the exact products of a short list, as bars one below the other."""
    top, high = y + 54, 64 / len(listed)
    largest = float(exact[listed].max())
    parts = [svg.text(WIDTH / 2, y + 42, "exact products of these alone", class_="strong")]
    for i, m in enumerate(listed[np.argsort(-exact[listed])]):
        place, won = top + i * high, int(m) == winner
        width = max(float(exact[m]) / largest, 0.02) * 210
        note = "the winner" if won else "the best score" if int(m) == leader else ""
        parts += [
            svg.text(40, place + high / 2 + 3, f"{m}", class_="small strong end"),
            svg.rect(48, place + 2, width, high - 4, rx=3, class_="third" if won else "faint"),
            svg.text(
                54 + width,
                place + high / 2 + 3,
                f"{_signed(float(exact[m]))} {note}",
                class_="small start strong" if won else "small start",
            ),
        ]
    return parts


def _doubtful(shown: Example, coverage: float) -> NDArray[np.float32]:
    """Return the first query whose best score is not its winner's, with three or four in doubt."""
    model = shown.ranking
    made = model.short_list
    assert made is not None
    scores = maddjit.reference.scores(model, made.tables, shown.queries)
    settled = maddjit.reference.settle(model, shown.queries, coverage)
    told = settled.indices.reshape(len(shown.queries)) != scores.argmax(axis=1)
    some = (settled.lengths >= 3) & (settled.lengths <= 4)
    return shown.queries[np.flatnonzero(told & some)[0]]


def tile(shown: Example) -> str:
    """Draw Strassen's seven products of blocks, with a real A and a real B."""
    side, n = 4, 8
    A = shown.rows[:n, :n].astype(np.float64)
    B = shown.A_train[:n, n:].astype(np.float64).T.copy()
    model = maddjit.fit_strassen_tile(B.astype(np.float32), tile=2)
    scheme = model.scheme
    blocks = A.reshape(2, side, 2, side).transpose(0, 2, 1, 3).reshape(4, side, side)
    left = np.einsum("rb,bij->rij", scheme.encode_a, blocks)
    right = np.asarray(model.values, np.float64)
    products = left @ right
    cell, top, step = 9.0, 46, 44
    at = {"a": 0, "A": 30, "B": 104, "b": 146, "P": 216, "to": 310}
    parts = [
        svg.text(33, 12, "blocks of A", class_="strong"),
        svg.text(137, 12, "blocks of B", class_="strong"),
        svg.text(234, 12, "products", class_="strong"),
        svg.text(322, 12, "blocks of Y", class_="strong"),
        svg.text(33, 28, "added up", class_="small"),
        svg.text(137, 28, "added ahead", class_="small"),
        svg.text(234, 28, "seven", class_="small"),
        svg.text(322, 28, "they enter", class_="small"),
    ]
    for r in range(scheme.rank):
        y = top + r * step
        parts += _signs(scheme.encode_a[r], at["a"], y + 6)
        parts += _matrix(left[r], at["A"], y, cell, 4)
        parts.append(svg.text((at["A"] + 36 + at["B"]) / 2, y + 22, "×", class_="strong"))
        parts += _matrix(right[r], at["B"], y, cell, 4)
        parts += _signs(scheme.encode_b[r], at["b"], y + 6)
        parts.append(svg.text((at["b"] + 24 + at["P"]) / 2, y + 22, "=", class_="strong"))
        parts += _matrix(products[r], at["P"], y, cell, 10)
        parts.append(svg.arrow(264, y + 18, 296, y + 18))
        parts += _signs(scheme.decode[:, r], at["to"], y + 6)
    y = top + scheme.rank * step + 14
    made = np.asarray(maddjit.tile_reference.multiply(model, A.astype(np.float32)))
    for x, words, values in ((58, "Y, from the seven", made), (216, "A @ B", A @ B)):
        parts += [svg.text(x + 44, y, words, class_="strong"), *_matrix(values, x, y + 12, 11, 10)]
    parts.append(svg.text(181, y + 60, "=", class_="strong"))
    return svg.drawing(
        "picture-tile",
        WIDTH,
        y + 104,
        "Seven products of blocks for eight",
        "Seven lines. In each, blocks of A are added or subtracted, and so are blocks of B, ahead of "
        "any call; the two sums are multiplied, and the product is added to or subtracted from "
        "blocks of Y. Below, Y as the seven products give it looks the same as A @ B.",
        *parts,
    )


def _signs(factors: NDArray[np.float32], x: float, y: float, cell: float = 12) -> list[str]:
    """Draw which of four blocks are added (warm) and which subtracted (cold)."""
    parts = []
    for place, factor in enumerate(factors):
        i, j = divmod(place, 2)
        colour = "warm" if factor > 0 else "cold" if factor < 0 else "none"
        parts.append(
            svg.rect(x + j * cell, y + i * cell, cell - 1, cell - 1, class_=f"block {colour}")
        )
        if factor:
            parts.append(
                svg.text(
                    x + (j + 0.5) * cell - 0.5,
                    y + i * cell + 9,
                    "+" if factor > 0 else "−",
                    class_="sign",
                )
            )
    return parts
