"""The last layer of Magika, which tells file types, on the files of this machine."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.machine import Missing
from benchmarks.tasks.cache import Arrays, home, needs, stored
from benchmarks.tasks.onnx_graphs import last_product
from benchmarks.tasks.record import Task
from benchmarks.tasks.scores import accuracy
from benchmarks.tasks.splitting import digest, directory_group, in_test

VERSION = "2"
PER_LABEL = 1500
SIZES = range(16, 8_000_000)
TEST_SHARE = 0.25
BATCH = 100

# Extensions whose meaning Magika's table leaves open, or that belong to another type here.
BY_EXTENSION = {
    "so": "elf", "o": "elf", "debug": "elf", "hpp": "cpp", "hh": "cpp", "inl": "cpp", "tcc": "cpp",
    "pl": "perl", "pm": "perl", "ts": "typescript", "txt": "txt", "cfg": "ini", "pom": "xml",
    "xsd": "xml", "xsl": "xml", "whl": "zip", "exe": "pebin", "dll": "pebin", "crt": "pem",
    "bats": "shell", "f": "fortran", "cmd": "batch", "mk": "makefile",
    "b": "", "gpg": "", "h": "", "l": "", "m": "", "p": "", "pp": "", "pro": "", "pub": "", "s": "",
    "sum": "", "v": "",
}  # fmt: skip
BY_NAME = {
    "makefile": "makefile", "makefile.in": "makefile", "dockerfile": "dockerfile",
    "cmakelists.txt": "cmake", "build.bazel": "bazel", ".gitignore": "ignorefile",
    ".gitattributes": "gitattributes", "gemfile": "gemfile",
}  # fmt: skip


def _by_extension(folder: Path, labels: list[str]) -> dict[str, str]:
    """Return the label of each extension that means one of the model's types only."""
    table = json.loads((folder / "config" / "content_types_kb.min.json").read_text())
    found = defaultdict(set)
    for label in set(labels) & table.keys():
        for extension in table[label]["extensions"]:
            found[extension.lower()].add(label)
    single = {extension: min(names) for extension, names in found.items() if len(names) == 1}
    return single | BY_EXTENSION


def _labelled(by_extension: dict[str, str]) -> list[tuple[Path, str]]:
    """Return files of different contents, at most PER_LABEL of a label, from anywhere."""
    paths = defaultdict(list)
    for root in {Path("/usr"), Path(sys.prefix).resolve()}:
        for path in root.rglob("*"):
            suffix = path.suffix.removeprefix(".").lower()
            label = BY_NAME.get(path.name.lower()) or by_extension.get(suffix)
            if label and path.is_file() and not path.is_symlink() and path.stat().st_size in SIZES:
                paths[label].append(path)
    chosen, contents = [], set()
    for label, candidates in sorted(paths.items()):
        taken = 0
        for path in sorted(candidates, key=lambda path: digest(str(path))):
            try:
                content = hashlib.sha256(path.read_bytes()).digest()
            except OSError:
                continue
            if content not in contents:
                contents.add(content)
                chosen.append((path, label))
                taken += 1
                if taken == PER_LABEL:
                    break
    return chosen


def _prepare() -> dict[str, NDArray[Any]]:
    magika = needs("magika", "magika")
    model = magika.Magika()
    package = home(magika)
    product = last_product(package / "models" / model.get_model_name() / "model.onnx")
    labels = [str(label) for label in model._model_config.target_labels_space]
    beg, end = model._model_config.beg_size, model._model_config.end_size
    files, features = [], []
    for path, label in _labelled(_by_extension(package, labels)):
        # Few bytes are told without the network; these files have no features.
        _, found = model._get_result_or_features_from_path(path)
        if found is not None:
            files.append((path, label))
            features.append(np.array([*found.beg[:beg], *found.end[-end:]], np.int32))
    if not files:
        raise Missing("no files with known extensions under /usr: install any Debian packages")
    _, first = np.unique(np.array(features), axis=0, return_index=True)
    first.sort()
    rows = np.concatenate(
        [
            product.inputs(np.array([features[index] for index in first[start : start + BATCH]]))
            for start in range(0, len(first), BATCH)
        ]
    )
    paths, names = zip(*(files[index] for index in first), strict=True)
    test = in_test([directory_group(path) for path in paths], names, TEST_SHARE)
    targets = np.array([labels.index(name) for name in names])
    return {
        "B": product.B,
        "bias": product.bias,
        "A_train": rows[~test],
        "A_test": rows[test],
        "train_targets": targets[~test],
        "targets": targets[test],
        "labels": np.array(labels),
    }


def _build(arrays: Arrays) -> Task:
    A_test, B, bias, targets = (arrays[name] for name in ("A_test", "B", "bias", "targets"))
    winners = (A_test @ B + bias).argmax(axis=1)
    n_files, n_types = len(arrays["A_train"]) + len(A_test), len(np.unique(targets))
    return Task(
        name="magika",
        title="Magika 3.3 file types, 512 × 214",
        source=(
            f"Magika's model in the package magika (Apache-2.0) on {n_files} different files of a "
            f"Debian and of the Python environment, test files ({n_types} types) from other "
            "folders; labels are extensions, so the exact model is not always right"
        ),
        A_train=arrays["A_train"],
        A_test=A_test,
        B=B,
        bias=bias,
        metric="agreement",
        higher_is_better=True,
        score=lambda outputs: accuracy(outputs, winners),
        extra={"accuracy": lambda outputs: accuracy(outputs, targets)},
        by_winners={"accuracy": lambda found: float(np.mean(found == targets))},
    )


def load() -> Task:
    """Load the layer, whose outputs are scores of 214 file types."""
    return stored("magika", VERSION, _prepare, _build)
