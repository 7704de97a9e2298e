"""Put a classifier into a C program: learn digits, export the operator, build `classify.c`.

It needs CMake and a C compiler and takes some seconds. Expect an accuracy of about .95, and that C
and Python name the same digit on every image.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import maddjit

HERE = Path(__file__).resolve().parent


def main(folder: Path) -> None:
    """Learn, export, build, run and compare."""
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    fit, calibrate, test = np.split(np.random.default_rng(0).permutation(len(X)), [700, 1200])
    train = np.concatenate([fit, calibrate])
    classifier = LogisticRegression(max_iter=2000).fit(X[train], y[train])
    B = np.ascontiguousarray(classifier.coef_.T, dtype=np.float32)
    model = maddjit.fit(X[fit], B, n_codebooks=8, bias=classifier.intercept_)
    model = maddjit.calibrate(model, X[calibrate], B)
    op = maddjit.compile(model, result="argmax", coverage=0.99)

    print(op.export(folder / "operator", name="digits"))
    build = folder / "build"
    for command in (
        ["cmake", "-S", HERE, "-B", build, f"-DOPERATOR={folder / 'operator'}"],
        ["cmake", "--build", build],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (folder / "images").write_bytes(X[test].tobytes())
    printed = subprocess.run(
        [build / "classify", folder / "images"], check=True, capture_output=True, text=True
    )
    named = np.array(printed.stdout.split(), np.int64)
    print(f"accuracy of the C program on {len(test)} images: {np.mean(named == y[test]):.4f}")
    print("C and Python agree" if (named == op(X[test])).all() else "C AND PYTHON DIFFER")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep everything there")
    chosen = parser.parse_args().folder
    if chosen:
        main(chosen.resolve())
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
