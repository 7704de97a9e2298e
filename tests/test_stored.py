"""Files that earlier versions wrote: models and exported libraries still give the bits they gave.

``tests/stored`` holds models in both formats (``*-1.npz`` are in the first), the answers that they
gave when they were written, and three libraries that were exported for x86-64 Linux. A stored file
is never replaced: when a format changes, or the bits of a kernel, new files are added beside it.
"""

from __future__ import annotations

import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import reference, tile_reference
from maddjit.compiler import llvm
from maddjit.compiler.target import named
from maddjit.models.storage import to_bytes
from tests.conftest import same_bits, same_numbers

STORED = Path(__file__).resolve().parent / "stored"
LOOK_UPS = ("look-ups", "look-ups-and-core", "averages", "look-ups-1")
WINNERS = ("winners", "winners-1")
TILES = ("tiles", "fitted-tiles")

HOST = llvm.host()
linux_x86 = pytest.mark.skipif(
    (HOST.system, HOST.architecture) != ("linux", "x86_64"), reason="the libraries are for Linux"
)


def answers(name: str) -> dict[str, NDArray[Any]]:
    """Return the rows, and what the model of that name gave for them."""
    with np.load(STORED / f"answers-{1 if name.endswith('-1') else 2}.npz") as archive:
        found = {"rows": archive["rows"], "compiled": archive[name]}
        if f"{name}.reference" in archive:
            found["reference"] = archive[f"{name}.reference"]
    return found


def model_of(name: str) -> Any:
    return maddjit.load(STORED / f"{name}.npz")


def finite(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which rows are finite; one is not, and it has no short list worth the name."""
    whole: NDArray[np.bool_] = np.isfinite(rows).all(axis=1)
    assert whole.sum() == len(rows) - 1
    return whole


def assert_near(found: NDArray[Any], name: str) -> None:
    """Compare outputs of a Strassen-Tile model with the stored definition, within its bound.

    The definition y was stored as r, rounded to float32: |r − y| is at most half the distance
    between float32 numbers there, and |found − y| at most the error bound. Outputs of the row that
    is not finite, and of its tile mates, are not defined.
    """
    stored = answers(name)
    bound = tile_reference.error_bound(model_of(name), np.nan_to_num(stored["rows"]))
    known = np.isfinite(stored["reference"])
    expected = stored["reference"][known]
    away = np.abs(found[known].astype(np.float64) - expected)
    assert (away <= bound[known] + np.spacing(np.abs(expected)) / 2).all()


def test_every_stored_file_is_tried() -> None:
    models = {path.stem for path in STORED.glob("*.npz")} - {"answers-1", "answers-2"}
    assert models == {*LOOK_UPS, *WINNERS, *TILES}
    assert sum(path.stat().st_size for path in STORED.iterdir()) < 200_000


@pytest.mark.parametrize("name", LOOK_UPS)
def test_the_definition_of_look_ups(name: str) -> None:
    stored = answers(name)
    assert same_numbers(reference.apply(model_of(name), stored["rows"]), stored["reference"])
    assert same_bits(stored["compiled"], stored["reference"])


@pytest.mark.parametrize("name", WINNERS)
def test_the_definition_of_winners(name: str) -> None:
    stored = answers(name)
    whole = finite(stored["rows"])
    found = reference.settle(model_of(name), stored["rows"][whole], 0.99)
    assert same_bits(found.indices, stored["compiled"][whole])


@pytest.mark.parametrize("name", TILES)
def test_the_definition_of_tiles(name: str) -> None:
    """Products of float64 add up in an order of BLAS's own, which may round to the neighbour."""
    stored = answers(name)
    found = reference.apply(model_of(name), stored["rows"])
    known = np.isfinite(stored["reference"])
    away = np.abs(found[known] - stored["reference"][known])
    assert (away <= np.spacing(np.abs(stored["reference"][known]))).all()


@pytest.mark.parametrize("name", LOOK_UPS)
def test_compiled_look_ups(name: str, level: str) -> None:
    stored = answers(name)
    op = maddjit.compile(model_of(name), level)
    assert same_numbers(op(stored["rows"]), stored["compiled"])


@pytest.mark.parametrize("name", WINNERS)
def test_compiled_winners(name: str, level: str) -> None:
    stored = answers(name)
    whole = finite(stored["rows"])
    op = maddjit.compile(model_of(name), level, result="topk", k=2, coverage=0.99)
    assert same_bits(op(stored["rows"][whole]), stored["compiled"][whole])


@pytest.mark.parametrize("name", TILES)
def test_compiled_tiles(name: str, level: str) -> None:
    """The answers are of x86-64 levels with fused products; others round more often."""
    stored = answers(name)
    found = maddjit.compile(model_of(name), level)(stored["rows"])
    if "fma" in named(level).requires:
        assert same_numbers(found, stored["compiled"])
    assert_near(found, name)


def parts_of(data: bytes) -> tuple[dict[str, NDArray[Any]], str, dict[str, Any]]:
    """Return a file's arrays, its format, and what it says of the model but who wrote it."""
    with np.load(BytesIO(data)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    written, told = str(arrays.pop("format")), json.loads(str(arrays.pop("about")))
    assert told.pop("written_by").startswith("maddjit ")
    return arrays, written, told


@pytest.mark.parametrize("name", [*LOOK_UPS, *WINNERS, *TILES])
def test_saving_again_loses_nothing(name: str) -> None:
    """Arrays and fields are the same; what older formats lack is now said."""
    before = parts_of((STORED / f"{name}.npz").read_bytes())
    after = parts_of(to_bytes(model_of(name)))
    arrays = {part.removeprefix("encoder."): array for part, array in after[0].items()}
    assert before[0].keys() == arrays.keys()
    assert all(same_bits(before[0][part], arrays[part]) for part in before[0])
    is_first = name.endswith("-1")
    assert before[1] == ("maddjit-model-1" if is_first else "maddjit-model-2")
    assert after[1] == "maddjit-model-4"
    if name not in TILES:
        encoder = after[2]["fields"].pop("encoder")
        assert encoder["kind"] == "HashTrees"
        after[2]["fields"] |= encoder["fields"]
    if name in TILES:
        assert after[2]["fields"].pop("rows") == "blocks"
    if is_first:
        assert after[2]["fields"].pop("bias") is None
    assert before[2] == after[2]


def library(name: str, folder: Path) -> maddjit.native.NativeOperator:
    """Load a stored library from a folder where nobody else may write."""
    folder.chmod(0o755)
    copied = shutil.copyfile(STORED / f"lib{name}.so", folder / f"lib{name}.so")
    copied.chmod(0o755)
    return maddjit.native.load(copied)


@linux_x86
def test_a_library_of_look_ups(tmp_path: Path) -> None:
    stored = answers("look-ups")
    assert same_bits(library("look_ups", tmp_path)(stored["rows"]), stored["compiled"])


@linux_x86
def test_a_library_of_winners(tmp_path: Path) -> None:
    stored = answers("winners")
    whole = finite(stored["rows"])
    found = library("winners", tmp_path)(stored["rows"][whole])
    assert same_bits(found, stored["compiled"][whole])


@linux_x86
def test_a_library_of_tiles(tmp_path: Path) -> None:
    """It is for the plain level, whose products are not fused; so is what is compiled here."""
    rows = answers("tiles")["rows"]
    found = library("tiles", tmp_path)(rows)
    assert same_numbers(found, maddjit.compile(model_of("tiles"), "x86-64")(rows))
    assert_near(found, "tiles")
