"""Name the types of your own files: the last layer of Google's Magika, 512 → 214, by look-ups.

The network of the package magika runs up to its last layer on files in the folders that you name,
by default those of the Python installation. Files are read, and nothing is written. Half of the
files serve to learn from, a quarter to calibrate with, and a quarter to test on. The parts are of
different folders if there are several.

The script prints a line for each coverage: the share of test files whose type is the exact
network's, which should be about the coverage or more; how many of the 214 types were in doubt on
average; and the speed of this layer. Then it prints some files with their types. These types are
the network's winners. Magika itself replaces doubtful ones by txt or unknown.

It needs ``pip install '.[heads]'`` and takes a minute or two. The rest of this network takes
thousands of times as long as its last layer, so this example shows how to save time, not where.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections import defaultdict
from pathlib import Path

import magika
import numpy as np
from heads import last_layer, rows_needed, times_as_fast
from numpy.typing import NDArray

import maddjit

BATCH = 50
TIMED_ROWS = 2000
SHOWN = 8


def files(paths: list[str]) -> dict[str, set[str]]:
    """Return the names of the files in each folder.

    Links and other file systems are not followed. Hidden folders and caches are skipped.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for path in map(os.path.realpath, paths):
        if os.path.isfile(path):
            folder, name = os.path.split(path)
            found[folder].add(name)
        elif not os.path.isdir(path):
            print(f"passed over, neither a file nor a folder: {path!r}", file=sys.stderr)
        for folder, inside, names in os.walk(path):
            inside[:] = [
                name
                for name in inside
                if not name.startswith((".", "__pycache__"))
                and not os.path.ismount(os.path.join(folder, name))
            ]
            found[folder].update(names)
    return found


def mixed(found: dict[str, set[str]]) -> list[str]:
    """Return paths in random order, but the first of every folder before the second of any."""
    rng = random.Random(0)
    ranked = []
    for folder in sorted(found):
        names = sorted(found[folder])
        rng.shuffle(names)
        ranked += [(rank, rng.random(), os.path.join(folder, n)) for rank, n in enumerate(names)]
    return [path for _, _, path in sorted(ranked)]


def read(detector: magika.Magika, paths: list[str], n: int) -> dict[bytes, str]:
    """Return what the network is given for each of the first n different files, with its path.

    Files that cannot be read are skipped, and so are very short ones, which Magika names without
    its network.
    """
    found: dict[bytes, str] = {}
    for path in paths:
        try:
            if not os.path.isfile(path):
                continue
            # There is no public way to these: hence the pinned version in the extra.
            _, features = detector._get_result_or_features_from_path(Path(path))
        except OSError:
            continue
        if features is not None:
            found.setdefault(np.array([*features.beg, *features.end], np.int32).tobytes(), path)
            if len(found) >= n:
                break
    return found


def divided(paths: list[str]) -> list[NDArray[np.intp]]:
    """Return indices of a half, a quarter and a quarter of the files, divided by folders.

    At most two folders are cut.
    """
    rng = np.random.default_rng(0)
    folders, of_path = np.unique([os.path.dirname(path) for path in paths], return_inverse=True)
    order = np.lexsort((rng.random(len(paths)), rng.permutation(len(folders))[of_path]))
    return np.split(order, [len(paths) // 2, 3 * len(paths) // 4])


def main(where: list[str], n_files: int, coverages: list[float], size: int, rounds: int) -> None:
    """Read, fit, calibrate, compile; print the table and some types."""
    detector = magika.Magika()
    inputs = read(detector, mixed(files(where)), n_files)
    paths = list(inputs.values())
    needed = 4 * max(map(rows_needed, coverages))
    if len(paths) < needed:
        sys.exit(
            f"found {len(paths)} different files that take the network; {needed} are needed, as a "
            f"coverage of {max(coverages)} takes {needed // 4} to calibrate with, a quarter: name "
            "larger folders, raise --files or lower --coverage"
        )
    print(f"running the network on {len(paths)} files …", flush=True)
    rows = np.frombuffer(b"".join(inputs), np.int32).reshape(len(paths), -1)
    feeds = [{"bytes": rows[start : start + BATCH]} for start in range(0, len(rows), BATCH)]
    network = Path(magika.__file__).parent / "models" / detector.get_model_name() / "model.onnx"
    A, B, bias = last_layer(network, feeds)
    train, calibrate, test = divided(paths)

    model = maddjit.fit(A[train], B, size, bias=bias, objective="argmax")
    model = maddjit.calibrate(model, A[calibrate], B)
    exact = (A[test] @ B + bias).argmax(axis=1)
    print(f"{len(train)} to learn from, {len(calibrate)} to calibrate with, {len(test)} to test on")
    print("coverage  exact type  mean list  times as fast as product and arg-max")
    op = maddjit.compile(model, result="argmax", coverage=coverages[0])
    for coverage in coverages:
        op = op.with_coverage(coverage)  # the same code and tables
        indices, _, lengths = op.settle(A[test])
        winners = indices[:, 0]
        speed = times_as_fast(op, A[test], B, TIMED_ROWS, rounds)
        agreement = np.mean(winners == exact)
        print(f"{coverage:8}  {agreement:10.4f}  {lengths.mean():9.1f}  {speed}")

    types = [str(label) for label in detector._model_config.target_labels_space]
    print(f"\nsome test files, coverage {coverages[-1]}:")
    for index in range(0, len(test), -(-len(test) // SHOWN)):
        path, found = paths[test[index]], types[winners[index]]
        (result,) = detector.identify_paths([path])
        own = str(result.prediction.dl.label) if result.ok else "gone"
        print(f"{found:16} {path!r}" + (f"; the exact network: {own}" if own != found else ""))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files, or folders of files")
    parser.add_argument("--files", type=int, default=4000, help="different files at most")
    parser.add_argument("--coverage", type=float, nargs="+", default=[0.99])
    parser.add_argument("--codebooks", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=15, help="rounds of timing")
    options = parser.parse_args()
    if not all(0 < coverage < 1 for coverage in options.coverage):
        parser.error("--coverage must be between 0 and 1")
    where = options.paths or [sys.prefix, sys.base_prefix]
    main(where, options.files, options.coverage, options.codebooks, options.rounds)
