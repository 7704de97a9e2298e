"""Exported networks: their bits from C, between guard pages under sanitizers, and loaded back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit.compiler.objects import elf
from maddjit.compiler.target import LEVELS
from maddjit.models.network import Network
from maddjit.reference.network import run as reference_run
from tests.conftest import RUNNABLE
from tests.exporting.test_export import CC, HERE, build_example, needs_cc, results_of, run
from tests.random_networks import SAME, Making, chain, residual


def planes() -> Network:
    made = Making(0, (2, 5, 7))
    made.look_up(SAME, 3, 4)
    return made.network()


NETWORKS = {
    "chain": lambda: chain(0),
    "residual": lambda: residual(0),
    "planes": planes,
    "bytes": lambda: chain(0, "uint8"),
}


def images_for(network: Network, n_images: int) -> NDArray[Any]:
    rng = np.random.default_rng(n_images)
    return rng.integers(0, 256, (n_images, *network.input_shape)).astype(network.dtype)


@needs_cc
@pytest.mark.parametrize("name", NETWORKS)
def test_the_example_has_the_bits_of_the_definition(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]()
    exported = maddjit.compile(network).export(tmp_path, name="head")
    program = build_example(exported, CC)
    for n_images in (0, 1, 70):
        images = images_for(network, n_images)
        found, printed = results_of(program, images, network.output_dtype)
        assert (found == reference_run(network, images).ravel()).all()
        assert printed.startswith(f"{n_images} rows")
    assert elf.undefined(exported.object.read_bytes()) == []


@needs_cc
@pytest.mark.parametrize("level", RUNNABLE)
def test_loaded(level: str, tmp_path: Path) -> None:
    network = chain(1)
    exported = maddjit.export(network, tmp_path, name="net", target=level)
    loaded = maddjit.native.load(tmp_path)
    images = images_for(network, 9)
    assert (loaded(images.reshape(9, -1)) == reference_run(network, images)).all()
    assert "a network of 8 steps from 1 x 8 x 9 to 4, 3 of look-ups" in repr(loaded)
    assert exported.library is not None


@needs_cc
@pytest.mark.parametrize("name", ["chain", "residual"])  # numbers that can be unaligned
def test_memory_between_guards_under_sanitizers(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]()
    exported = maddjit.export(network, tmp_path, name="head")
    program = tmp_path / "guarded"
    sanitizers = "-fsanitize=address,undefined"
    flags = ("-std=c11", "-O1", "-g", "-Wall", "-Werror", sanitizers, "-I", tmp_path)
    try:
        run(CC, *flags, HERE / "c" / "guarded.c", exported.object, "-o", program)
    except AssertionError as error:
        if "san" in str(error):
            pytest.skip("the C compiler has no sanitizers")
        raise
    for n_images in (1, 5, 70):
        images = images_for(network, n_images)
        (tmp_path / "rows").write_bytes(images.tobytes())
        (tmp_path / "results").write_bytes(reference_run(network, images).tobytes())
        run(program, tmp_path / "rows", tmp_path / "results")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("system", ["linux", "windows"])
def test_other_machines(level: str, system: str, tmp_path: Path) -> None:
    exported = maddjit.export(chain(0), tmp_path, name="net", target=level, system=system)
    assert "NET_WORKSPACE_BYTES" in exported.header.read_text()
    assert exported.object.stat().st_size > 1000


def test_options_of_products_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without options"):
        maddjit.export(chain(0), tmp_path, dtype="int8")


@pytest.mark.parametrize("level", LEVELS)
def test_the_code_as_text(level: str) -> None:
    network = chain(0)
    assert "maddjit_network" in maddjit.emit(network, level)
    assert maddjit.emit(network, level, "template").count("target triple") == 4
    with pytest.raises(ValueError, match="the code of a network has no options"):
        maddjit.emit(network, level, dtype="int8")
