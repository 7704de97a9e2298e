"""Exported convolutions: the operator's bits from C at any size, between guards, sanitized."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import maddjit
from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import OUTPUTS
from maddjit.compiler import convolving
from maddjit.compiler.objects import elf
from maddjit.compiler.target import LEVELS
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.window import Window
from maddjit.reference import convolution as reference
from tests.conftest import RUNNABLE
from tests.exporting.conftest import QEMU
from tests.exporting.test_export import CC, CXX, HERE, build_example, fnv, needs_cc, run
from tests.operators.test_convolution import EPILOGUES, WINDOWS, model_of, planes

SAME = Window((3, 3), padding=(1, 1, 1, 1))
QUANTISED = Epilogue("int8", step=0.5, zero_point=3)

KINDS: dict[str, tuple[ConvolutionModel, dict[str, Any]]] = {
    "same": (model_of(SAME), {}),
    "strides and groups": (
        model_of(Window((5, 3), (2, 3), (2, 0, 1, 3), (1, 2)), groups=2),
        {"dtype": "uint8", "epilogue": EPILOGUES[1]},
    ),
    "in place": (model_of(Window((3, 2))), {"dtype": "int16"}),
    "one by one": (model_of(Window((1, 1)), groups=2), {"dtype": "float64"}),
    "quantised": (model_of(SAME), {"quantise": QUANTISED, "epilogue": EPILOGUES[2]}),
    "halves": (model_of(Window((2, 7))), {"dtype": "float16", "epilogue": EPILOGUES[3]}),
}
"""A convolution and what it is compiled for."""

SIZES = ((1, 5, 9), (3, 9, 8), (2, 40, 61), (70, 5, 9), (1, 200, 90))
"""Images, rows and columns: more images than a part has, and more rows."""


def images_for(model: ConvolutionModel, options: dict[str, Any], *size: int) -> NDArray[Any]:
    n_images, height, width = size
    shape = (n_images, model.n_channels, height, width)
    return planes(shape, options.get("dtype", "float32"), seed=height)


def called(exported: maddjit.Exported, x: NDArray[Any], wanted: NDArray[Any]) -> NDArray[Any]:
    """Return what the library's function computes, called as programs in C call it."""
    library = ctypes.CDLL(str(exported.library))
    size, y = [ctypes.c_int64(n) for n in x.shape[2:]], np.empty_like(wanted)
    bytes_of = getattr(library, f"{exported.name}_workspace_bytes")
    bytes_of.restype = ctypes.c_int64
    memory = np.empty(bytes_of(*size), np.uint8)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (x, y, memory)]
    function = getattr(library, f"{exported.name}_run")
    assert not function(pointers[0], ctypes.c_int64(len(x)), *size, *pointers[1:])
    return y


@needs_cc
@pytest.mark.parametrize("kind", KINDS)
def test_the_example_has_the_bits_of_the_operator(kind: str, tmp_path: Path) -> None:
    model, options = KINDS[kind]
    op = maddjit.compile(model, **options)
    exported = op.export(tmp_path, name="head")
    assert elf.undefined(exported.object.read_bytes()) == []
    assert b'"what": "planes"' in exported.object.read_bytes()
    program = build_example(exported, CC)
    for size in ((0, 9, 9), (2, 9, 9)):
        x = images_for(model, options, *size)
        (tmp_path / "images").write_bytes(x.tobytes())
        given = (tmp_path / "images", tmp_path / "results")
        printed = run(program, 9, 9, *given)
        wanted = op(x).tobytes()
        assert given[1].read_bytes() == wanted
        assert printed == f"{size[0]} images, checksum {fnv(wanted)}\n"


@needs_cc
@pytest.mark.parametrize("kind", KINDS)
def test_memory_between_guards_under_sanitizers(kind: str, tmp_path: Path) -> None:
    model, options = KINDS[kind]
    op = maddjit.compile(model, **options)
    exported = maddjit.export(model, tmp_path, name="head", **options)
    program = tmp_path / "guarded"
    sanitizers = "-fsanitize=address,undefined"
    flags = ("-std=c11", "-O1", "-g", "-Wall", "-Werror", sanitizers, "-I", tmp_path)
    try:
        run(CC, *flags, HERE / "c" / "guarded_planes.c", exported.object, "-o", program)
    except AssertionError as error:
        if "san" in str(error):
            pytest.skip("the C compiler has no sanitizers")
        raise
    for size in SIZES:
        x = images_for(model, options, *size)
        (tmp_path / "images").write_bytes(x.tobytes())
        (tmp_path / "results").write_bytes(op(x).tobytes())
        run(program, *size[1:], tmp_path / "images", tmp_path / "results")


@needs_cc
@pytest.mark.parametrize("level", RUNNABLE)
@settings(max_examples=8)
@given(
    window=WINDOWS,
    sizes=st.lists(st.tuples(*3 * (st.integers(1, 9),)), min_size=3, max_size=6),
    groups=st.integers(1, 2),
    dtype=st.sampled_from(["int8", "uint8", "float32", "float16"]),
    output=st.sampled_from(sorted(OUTPUTS)),
)
def test_bits_at_every_size(
    level: str,
    window: Window,
    sizes: list[tuple[int, int, int]],
    groups: int,
    dtype: str,
    output: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    model, epilogue = model_of(window, groups=groups), Epilogue(output, low=-0.5, high=2)
    folder = tmp_path_factory.mktemp("planes")  # a library stays loaded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolving.ConvolutionPlan, "part_bytes", 2000)
        patch.setattr(convolving.ConvolutionPlan, "least_rows", 2)
        exported = maddjit.export(model, folder, target=level, dtype=dtype, epilogue=epilogue)
    for size in sizes:
        x = images_for(model, {"dtype": dtype}, *size)
        try:
            window.output_size(*size[1:])
        except ValueError:
            continue
        wanted = reference.convolve(model, x, epilogue)
        assert called(exported, x, wanted).tobytes() == wanted.tobytes()


@needs_cc
def test_the_header_is_c11_and_c17_of_plus_plus(tmp_path: Path) -> None:
    for kind, (model, options) in KINDS.items():
        exported = maddjit.export(model, tmp_path / kind, name="head", **options)
        source = tmp_path / kind / "only.c"
        source.write_text('#include "head.h"\nint main(void) { return HEAD_OK; }\n')
        strict = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only")
        run(CC, "-std=c11", *strict, source)
        if CXX is not None:
            run(CXX, "-x", "c++", "-std=c++17", *strict, source)
        text = exported.header.read_text()
        assert f"#define HEAD_N_CHANNELS {model.n_channels}\n" in text
        assert "Around the planes stands 7." in text
        assert ("#define HEAD_STEP" in text) == options.get("epilogue", Epilogue()).is_integer
        words = "Numbers of x are stored as int8 in steps of 0.5 with zero point 3 before they"
        assert (words in text) == ("quantise" in options)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("system", ["linux", "windows"])
def test_other_machines(level: str, system: str, tmp_path: Path) -> None:
    exported = maddjit.export(KINDS["same"][0], tmp_path, target=level, system=system)
    assert "product_workspace_bytes" in exported.header.read_text()
    assert exported.object.stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["same", "strides and groups", "quantised"])
def test_the_example_for_aarch64(kind: str, zig: str, tmp_path: Path) -> None:
    model, options = KINDS[kind]
    exported = maddjit.export(
        model, tmp_path, name="head", target="aarch64", compiler=zig, **options
    )
    program = build_example(exported, *zig.split(), "-static")
    op = maddjit.compile(model, **options)
    for size in SIZES:
        x = images_for(model, options, *size)
        (tmp_path / "images").write_bytes(x.tobytes())
        run(QEMU, program, *size[1:], tmp_path / "images", tmp_path / "results")
        assert (tmp_path / "results").read_bytes() == op(x).tobytes()


@needs_cc
def test_what_is_refused(tmp_path: Path) -> None:
    model = KINDS["same"][0]
    with pytest.raises(ValueError, match="leave out result, k, order, out_order"):
        maddjit.export(model, tmp_path, out_order="F")
    with pytest.raises(ValueError, match="planes of uint8 cannot hold -1"):
        maddjit.export(model_of(SAME, fill=-1), tmp_path, dtype="uint8")
    maddjit.export(model, tmp_path, name="planes")
    with pytest.raises(ValueError, match="is a convolution, which C programs call"):
        maddjit.native.load(tmp_path)


@pytest.mark.parametrize("result", ["outputs", "sums", "codes"])
def test_emitted_code_is_that_of_the_operator(result: Any) -> None:
    model = KINDS["same"][0]
    op = maddjit.compile(model, "x86-64", dtype="int8")
    own, emitted = (
        ir.partition("attributes")[0]  # the level's own are not tuned for this machine
        for ir in (
            op.ir(result=result),
            maddjit.emit(model, "x86-64", "template", dtype="int8", result=result),
        )
    )
    assert own == emitted
    assert "aarch64" in maddjit.emit(model, "aarch64", dtype="int8", result=result)


def test_emit_refuses_what_planes_do_not_have() -> None:
    with pytest.raises(ValueError, match="a convolution has"):
        maddjit.emit(KINDS["same"][0], "aarch64", result="argmax")
    with pytest.raises(ValueError, match="leave out result, k, order"):
        maddjit.emit(KINDS["same"][0], "aarch64", order="F")
