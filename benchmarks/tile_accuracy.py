"""How wrong fitted tile operators are on data of several kinds, beside low rank and bfloat16.

    python benchmarks/tile_accuracy.py

Prints root relative errors on rows kept back, ‖Ŷ − Y‖ / ‖Y − mean‖, for 256 × 256; two minutes.
Layers of networks are in `benchmarks/tiles.py`.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

import maddjit

SIZE, RANKS = 256, (16, 24, 28, 32, 40, 44, 48)
Data = tuple[NDArray[np.float64], NDArray[np.float64]]


def drawn(kind: str) -> Data:
    """Return random rows with a covariance of that kind, and a random B."""
    rng = np.random.default_rng(0)
    rows, B = rng.standard_normal((6000, SIZE)), rng.standard_normal((SIZE, SIZE))
    place = np.arange(SIZE)
    if kind == "power law":
        turn = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0]
        rows = rows * (place + 1.0) ** -0.5 @ turn
    elif kind.startswith("AR(1)"):
        covariance = 0.9 ** np.abs(place[:, np.newaxis] - place)
        rows = rows @ np.linalg.cholesky(covariance).T
        if kind.endswith("neighbours apart"):
            order = place.reshape(-1, 4).T.ravel()  # four neighbours, one in each block
            rows, B = rows[:, order], B[order]
    return rows, B


def main() -> None:
    warnings.simplefilter("ignore", maddjit.AccuracyWarning)
    kinds = ("white", "power law", "AR(1)", "AR(1), neighbours apart")
    data = {kind: drawn(kind) for kind in kinds}
    print("data, rank: fitted (the scheme for white data), low rank, bfloat16")
    for name, (rows, B) in data.items():
        for rank in RANKS:
            model = maddjit.fit_strassen_tile(B, rank, A_train=rows)
            report = model.report
            assert report is not None
            print(
                f"{name}, {rank}: {report.error**0.5:.3f} ({report.unfitted**0.5:.3f}), "
                f"{report.low_rank**0.5:.3f}, {report.bfloat16**0.5:.4f}; {model.scheme.name}, "
                f"{np.count_nonzero(model.scheme.encode_a)} + "
                f"{np.count_nonzero(model.scheme.decode)} non-zeros",
                flush=True,
            )


if __name__ == "__main__":
    main()
