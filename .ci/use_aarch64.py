"""Fit, compile, call and reuse operators on aarch64: `use_aarch64.py FOLDER`, twice.

The first process compiles and keeps what it compiled, the second takes it from the cache. Code for
Apple silicon is loaded, too: it is the same instruction set, in another format and with its own
relocations.
"""

import ctypes
import platform
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import maddjit
from maddjit import reference
from maddjit.compiler import llvm, objects
from maddjit.compiler.render import render
from maddjit.compiler.request import plan_of
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import resolve
from maddjit.reference import strassen_tile as tile_reference
from tests.random_networks import residual

# OpenBLAS's kernels raise floating-point flags in registers that they do not use.
warnings.filterwarnings("ignore", message=".* encountered in matmul")
folder = Path(sys.argv[1])
begun = perf_counter()
rng = np.random.default_rng(0)
A = (rng.standard_normal((500, 3)) @ rng.standard_normal((3, 24))).astype(np.float32)
B = rng.standard_normal((24, 10)).astype(np.float32)


def said(words: str) -> None:
    """Print what has been seen, and when."""
    print(f"aarch64, {perf_counter() - begun:5.1f} s: {words}", flush=True)


def fitted() -> Any:
    """Return a model with a short list, fitted by the first process."""
    file = folder / "model.npz"
    if not file.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", maddjit.AccuracyWarning)
            model = maddjit.fit(A[:200], B, n_codebooks=4)
        maddjit.calibrate(model, A[200:], B).save(file)
        said("fitted and calibrated")
    return maddjit.load(file)


def compare(op: Any, wanted: Any, is_second: bool) -> None:
    """Compare an operator with what is wanted; the second process must not compile."""
    assert op.target.name == "aarch64"
    assert np.array_equal(op(A), wanted)
    assert ("llvm" not in op.kernel().seconds) == is_second, op.kernel().seconds
    said(f"{op!r} has the reference's bits, {'from the cache' if is_second else 'compiled'}")


def loaded_as_on_apple_silicon(model: Any) -> None:
    """Load an object of Apple's format by the same linker of LLVM's, and compare its results."""
    machine = replace(llvm.host(), triple="arm64-apple-darwin23.1.0")
    target = resolve("host", machine)
    plan = plan_of(model, target, Signature())
    code = llvm.to_object(render(plan), target)
    assert objects.architecture(code) == "aarch64"
    function = llvm.load(code, plan.symbol, target)
    Y = np.zeros((len(A), 10), np.float32)
    workspace = np.zeros(plan.workspace_bytes + 64, np.uint8)
    numbers, pointer = ctypes.c_int64, ctypes.c_void_p
    kinds = (pointer, numbers, numbers, numbers, pointer, numbers, pointer, pointer)
    aligned = workspace.ctypes.data + -workspace.ctypes.data % 64
    ctypes.CFUNCTYPE(None, *kinds)(function.address)(
        A.ctypes.data, len(A), A.strides[0], 4, Y.ctypes.data, Y.strides[0], aligned, None
    )
    assert np.array_equal(Y, reference.apply(model, A))
    said("an object for Apple silicon has the reference's bits")


assert llvm.host().architecture == "aarch64", llvm.host()
is_second = (folder / "model.npz").exists()
said(f"{platform.platform()}, Python {platform.python_version()}, LLVM {llvm.LLVM_VERSION}")
model = fitted()
op = maddjit.compile(model)
compare(op, reference.apply(model, A), is_second)
assert isinstance(op._outputs.call(A), np.ndarray)
compare(
    maddjit.compile(model, result="argmax", coverage=0.9),
    reference.settle(model, A, 0.9).indices[:, 0],
    is_second,
)
if not is_second:
    tiles = maddjit.fit_strassen_tile(B, tile=2)
    away = np.abs(maddjit.compile(tiles)(A) - tile_reference.multiply(tiles, A))
    assert (away <= tile_reference.error_bound(tiles, A)).all()
    said("Strassen-Tile is within its bound")
    network = residual(0)
    images = rng.standard_normal((3, *network.input_shape)).astype(np.float32)
    wanted = maddjit.network_reference.run(network, images)
    assert np.array_equal(maddjit.compile(network)(images), wanted)
    said(f"{network!r} has the reference's bits")
    planes = maddjit.fit_convolution(images, rng.standard_normal((4, 3, 3, 3)), 3, padding=1)
    wanted = maddjit.convolution_reference.convolve(planes, images)
    assert np.array_equal(maddjit.compile(planes)(images), wanted)
    said(f"{planes!r} has the reference's bits")
    loaded_as_on_apple_silicon(model)
