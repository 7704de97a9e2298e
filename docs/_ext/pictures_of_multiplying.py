"""Pictures of multiplying less: a short list that is settled, and a tile by seven products."""

from __future__ import annotations

from typing import Any

import numpy as np
import svg
from example_models import WIDTH, Example
from numpy.typing import NDArray
from picture_parts import matrix, signed

import maddjit


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
        svg.text(
            WIDTH / 2,
            12,
            f"looked-up scores of {len(scores)} outputs: sums of entries",
            class_="strong",
        ),
        svg.rect(0, top, WIDTH, height(best - margin) - top, class_="warm", fill_opacity="0.12"),
        svg.text(
            0, top - 6, f"within {margin} of the best score, {best}: in doubt", class_="small start"
        ),
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
        f"{listed.tolist()}, are within {margin} of the best, {best}, and are multiplied exactly. "
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
                f"{signed(float(exact[m]))} {note}",
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
        parts += matrix(left[r], at["A"], y, cell, 4)
        parts.append(svg.text((at["A"] + 36 + at["B"]) / 2, y + 22, "×", class_="strong"))
        parts += matrix(right[r], at["B"], y, cell, 4)
        parts += _signs(scheme.encode_b[r], at["b"], y + 6)
        parts.append(svg.text((at["b"] + 24 + at["P"]) / 2, y + 22, "=", class_="strong"))
        parts += matrix(products[r], at["P"], y, cell, 10)
        parts.append(svg.arrow(264, y + 18, 296, y + 18))
        parts += _signs(scheme.decode[:, r], at["to"], y + 6)
    y = top + scheme.rank * step + 14
    made = np.asarray(maddjit.tile_reference.multiply(model, A.astype(np.float32)))
    for x, words, values in ((58, "Y, from the seven", made), (216, "A @ B", A @ B)):
        parts += [svg.text(x + 44, y, words, class_="strong"), *matrix(values, x, y + 12, 11, 10)]
    parts.append(svg.text(181, y + 60, "=", class_="strong"))
    return svg.drawing(
        "picture-tile",
        WIDTH,
        y + 104,
        "Seven products of blocks for eight",
        "Seven lines. In each, blocks of A are added or subtracted, and so are blocks of B, ahead "
        "of any call; the two sums are multiplied, and the product is added to or subtracted from "
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
