"""Exported operators: the bits of the operator from C, under a sanitizer, by CMake, for aarch64."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import reference
from maddjit.arrays.formats import float32_to_bfloat16
from maddjit.compiler import llvm
from maddjit.compiler.objects import elf
from maddjit.compiler.target import BFLOAT16, LEVELS
from maddjit.reference import strassen_tile as tile_reference
from tests.conftest import RUNNABLE, same_bits
from tests.exporting.conftest import QEMU
from tests.random_models import (
    random_additive,
    random_model,
    rows_for,
    with_margins,
    with_short_list,
)

HERE = Path(__file__).resolve().parent
COMPILERS = ("cc", "gcc", "clang") if sys.platform.startswith("linux") else ()
CC = next((found for name in COMPILERS if (found := shutil.which(name))), None)
CXX = next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)
needs_cc = pytest.mark.skipif(CC is None, reason="there is no C compiler that links on Linux")
COVERAGE = 0.5
ENDS = ("low", "high", "step", "zero_point")
"""What a description says of an epilogue."""


def run(*command: object, **options: Any) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"
    return done.stdout


def maddness() -> Any:
    return random_model(1, n_features=19, n_codebooks=7, n_prototypes=16, n_outputs=37)


def listed(k: int) -> Any:
    model = random_model(2, n_features=40, n_codebooks=6, n_prototypes=16, n_outputs=150)
    return with_short_list(model, k, 40)


def tiles() -> Any:
    B = np.random.default_rng(3).standard_normal((70, 45)).astype(np.float32)
    return maddjit.fit_strassen_tile(B, tile=2)


def additive() -> Any:
    return random_additive(4, n_features=45, n_codebooks=6, n_prototypes=16, n_outputs=37, rank=20)


KINDS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "outputs": (maddness, {}),
    "argmax": (lambda: listed(1), {"result": "argmax", "coverage": COVERAGE}),
    "topk": (lambda: listed(3), {"result": "topk", "k": 3, "coverage": COVERAGE}),
    "tiles": (tiles, {}),
    "additive": (additive, {}),
}
"""A model and what it is compiled for."""


def some_rows(model: Any, n_rows: int, seed: int = 5) -> NDArray[np.float32]:
    if isinstance(model, maddjit.StrassenTileModel):
        rng = np.random.default_rng(seed)
        return rng.standard_normal((n_rows, model.n_features)).astype(np.float32)
    if model.short_list is None and isinstance(model.encoder, maddjit.HashTrees):
        return rows_for(model, n_rows, "float32", seed)
    rng = np.random.default_rng(seed)  # exact products of NaN would name anything
    return rng.standard_normal((n_rows, model.n_features)).astype(np.float32)


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> tuple[Any, dict[str, Any]]:
    make, options = KINDS[request.param]
    return make(), options


def build_example(exported: maddjit.Exported, *command: object) -> Path:
    program = exported.example.with_suffix("")
    flags = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic")
    run(*command, *flags, exported.example, exported.object, "-o", program)
    return program


def results_of(
    program: Path, A: NDArray[Any], dtype: Any, *before: object
) -> tuple[NDArray[Any], str]:
    rows, results = program.with_suffix(".rows"), program.with_suffix(".results")
    rows.write_bytes(A.tobytes())
    printed = run(*before, program, rows, results)
    return np.frombuffer(results.read_bytes(), dtype), printed


def described(exported: maddjit.Exported) -> Any:
    """Return the description that an object holds."""
    code = exported.object.read_bytes()
    start = code.index(b'{"adds"')
    return json.loads(code[start : code.index(b"\0", start)])


def fnv(data: bytes) -> str:
    total = 14695981039346656037
    for byte in data:
        total = (total ^ byte) * 1099511628211 % 2**64
    return f"{total:016x}"


@needs_cc
def test_the_example_has_the_bits_of_the_operator(kind: Any, tmp_path: Path) -> None:
    model, options = kind
    op = maddjit.compile(model, **options)
    program = build_example(op.export(tmp_path, name="head"), CC)
    for n_rows in (0, 1, 77):
        A = some_rows(model, n_rows)
        wanted = op(A)
        found, printed = results_of(program, A, wanted.dtype)
        assert found.tobytes() == wanted.tobytes()
        assert printed == f"{n_rows} rows, checksum {fnv(wanted.tobytes())}\n"


@needs_cc
def test_loaded_at_every_level(level: str, kind: Any, tmp_path: Path) -> None:
    model, options = kind
    exported = maddjit.export(model, tmp_path, name="head", target=level, **options)
    loaded = maddjit.native.load(tmp_path)
    op = maddjit.compile(model, level, **options)
    assert loaded.description["level"] == level
    for n_rows in (0, 1, 300):
        A = some_rows(model, n_rows)
        assert same_bits(loaded(A), op(A))
    assert same_bits(np.asarray(loaded(A[3])), np.asarray(op(A[3])))
    assert repr(str(exported.library)) in repr(loaded)


@needs_cc
def test_coverage_is_a_constant_of_the_exported_function(tmp_path: Path) -> None:
    model = with_margins(
        random_model(2, n_features=40, n_codebooks=6, n_prototypes=16, n_outputs=400), 3
    )
    op, A = maddjit.compile(model, result="topk", k=3, coverage=0.5), some_rows(model, 40)
    for coverage, margin in ((0.2, 0), (0.9, 10**6)):
        exported = op.with_coverage(coverage).export(tmp_path / str(margin), name="head")
        assert f"lists within {margin}." in exported.header.read_text()
        found = maddjit.native.load(tmp_path / str(margin))(A)
        assert same_bits(found, reference.settle(model, A, coverage).indices)


@needs_cc
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_other_dtypes_and_orders(dtype: str, order: Any, tmp_path: Path) -> None:
    model = maddness()
    wide = some_rows(model, 50)
    with np.errstate(over="ignore", invalid="ignore"):
        wide = np.clip(np.nan_to_num(wide), 0, 200) if dtype == "uint8" else wide
        A = float32_to_bfloat16(wide) if dtype == "bfloat16" else wide.astype(dtype)
    op = maddjit.compile(model, dtype=dtype, order=order)
    exported = op.export(tmp_path, name="other")
    loaded = maddjit.native.load(tmp_path)
    for rows in (A, np.asfortranarray(A), A[::-2], np.repeat(A, 2, axis=1)[:, ::2]):
        assert same_bits(loaded(rows), op(rows))
    found, _ = results_of(build_example(exported, CC), A.T if order == "F" else A, np.float32)
    assert found.tobytes() == op(A).tobytes()


@needs_cc
def test_columns_of_results_and_epilogues(tmp_path: Path) -> None:
    model, A = maddness(), some_rows(maddness(), 130)
    model = replace(model, scale=np.abs(model.scale), bias=None)
    epilogues = (
        maddjit.Epilogue(low=0),
        maddjit.Epilogue("int8", low=0),
        maddjit.Epilogue("uint8", step=64.0, zero_point=9, arithmetic="integer"),
    )
    for number, epilogue in enumerate(epilogues):
        op = maddjit.compile(model, order="F", epilogue=epilogue)
        exported = op.export(tmp_path / str(number), name="columns", out_order="F")
        loaded = maddjit.native.load(exported.library)  # type: ignore[arg-type]
        wanted = op(A)
        assert same_bits(loaded(A).copy(), wanted)
        out = np.empty_like(wanted)
        assert loaded(A, out=out) is out
        assert same_bits(out, wanted)
        found, _ = results_of(build_example(exported, CC), A.T, wanted.dtype)
        assert found.tobytes() == wanted.T.tobytes()


@needs_cc
def test_a_residual_is_added_to(tmp_path: Path) -> None:
    model, rng = tiles(), np.random.default_rng(0)
    op = maddjit.compile(model, residual=True)
    op.export(tmp_path, name="added")
    loaded = maddjit.native.load(tmp_path)
    A, residual = some_rows(model, 20), rng.standard_normal((20, 45)).astype(np.float32)
    wanted = op(A, residual=residual)
    for out in (residual.copy(), np.asfortranarray(residual)):
        assert same_bits(np.ascontiguousarray(loaded(A, out=out)), wanted)
    with pytest.raises(ValueError, match="out must hold the residual"):
        loaded(A)


@needs_cc
@pytest.mark.skipif(BFLOAT16 not in llvm.host().features, reason=f"no {BFLOAT16} here")
def test_tiles_in_bfloat16(tmp_path: Path) -> None:
    model = tiles()
    op = maddjit.compile(model, precision="bfloat16")
    op.export(tmp_path)
    loaded = maddjit.native.load(tmp_path)
    assert BFLOAT16 in loaded.description["requires"]
    assert same_bits(loaded(some_rows(model, 30)), op(some_rows(model, 30)))


@needs_cc
def test_memory_between_guards_under_a_sanitizer(kind: Any, tmp_path: Path) -> None:
    model, options = kind
    op = maddjit.compile(model, **options)
    exported = op.export(tmp_path, name="head")
    program = tmp_path / "guarded"
    flags = ("-std=c11", "-O1", "-g", "-Wall", "-Werror", "-fsanitize=address", "-I", tmp_path)
    try:
        run(CC, *flags, HERE / "c" / "guarded.c", exported.object, "-o", program)
    except AssertionError as error:
        if "asan" in str(error) or "sanitize" in str(error):
            pytest.skip("the C compiler has no address sanitizer")
        raise
    for n_rows in (1, 5, 77, 300):
        A = some_rows(model, n_rows)
        (tmp_path / "rows").write_bytes(A.tobytes())
        (tmp_path / "results").write_bytes(op(A).tobytes())
        run(program, tmp_path / "rows", tmp_path / "results")


@needs_cc
def test_the_header_is_c11_and_c17_of_plus_plus(kind: Any, tmp_path: Path) -> None:
    model, options = kind
    exported = maddjit.compile(model, **options).export(tmp_path, name="head")
    source = tmp_path / "only.c"
    source.write_text('#include "head.h"\n#include "head.h"\nint main(void) { return HEAD_OK; }\n')
    strict = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only")
    run(CC, "-std=c11", *strict, source)
    if CXX is not None:
        run(CXX, "-x", "c++", "-std=c++17", *strict, source)
    text = exported.header.read_text()
    assert f"#define HEAD_N_FEATURES {model.n_features}\n" in text
    assert f"#define HEAD_N_OUTPUTS {model.n_outputs}\n" in text
    assert "static_assert" in text


@needs_cc
def test_nothing_is_needed_and_nothing_is_written_to(kind: Any, tmp_path: Path) -> None:
    model, options = kind
    exported = maddjit.compile(model, **options).export(tmp_path, name="head")
    assert elf.undefined(exported.object.read_bytes()) == []
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("there is no readelf")
    assert "NEEDED" not in run(readelf, "-dW", exported.library)
    sections = run(readelf, "-SW", exported.object)
    sizes = [
        int(line.split("PROGBITS")[1].split()[2], 16)
        for line in sections.splitlines()
        if "PROGBITS" in line and " WA " in line
    ]
    assert sum(sizes) == 0
    stack = next(x for x in run(readelf, "-lW", exported.library).splitlines() if "STACK" in x)
    assert "RWE" not in stack


@needs_cc
def test_two_operators_in_one_program(tmp_path: Path) -> None:
    """Same configuration, other tables: nothing but the name distinguishes their symbols."""
    models = [
        random_model(seed, n_features=8, n_codebooks=4, n_prototypes=16, n_outputs=5)
        for seed in (1, 2)
    ]
    names = ("one", "two")
    made = [maddjit.export(m, tmp_path, name=name) for m, name in zip(models, names, strict=True)]
    source = tmp_path / "both.c"
    source.write_text(
        '#include "one.h"\n#include "two.h"\n#include <stdio.h>\n'
        "static char memory[ONE_WORKSPACE_BYTES + TWO_WORKSPACE_BYTES];\n"
        "int main(void) {\n"
        "  one_row A = {1, -1, 2, -2, 0, 3, -3, .5};\n  float Y[10];\n"
        "  if (one_run(A, 1, 8, Y, 5, memory) || two_run(A, 1, 8, Y + 5, 5, memory)) return 1;\n"
        "  return fwrite(Y, sizeof Y, 1, stdout) != 1;\n}\n"
    )
    run(CC, source, made[0].object, made[1].object, "-o", tmp_path / "both")
    printed = subprocess.run([tmp_path / "both"], capture_output=True, check=True).stdout
    A = np.array([[1, -1, 2, -2, 0, 3, -3, 0.5]], np.float32)
    wanted = np.concatenate([reference.apply(model, A) for model in models])
    assert printed == wanted.tobytes()
    for model, name in zip(models, names, strict=True):
        assert same_bits(maddjit.native.load(tmp_path, name)(A), reference.apply(model, A))
    with pytest.raises(ValueError, match="several libraries, name one of them: one, two"):
        maddjit.native.load(tmp_path)


@needs_cc
def test_cmake_builds_it(tmp_path: Path) -> None:
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("there is no CMake")
    model = maddness()
    op = maddjit.compile(model)
    op.export(tmp_path, name="head")
    run(cmake, "-S", tmp_path, "-B", tmp_path / "build")
    run(cmake, "--build", tmp_path / "build")
    A = some_rows(model, 33)
    found, _ = results_of(tmp_path / "build" / "head_example", A, np.float32)
    assert found.tobytes() == op(A).tobytes()


@needs_cc
def test_many_threads(kind: Any, tmp_path: Path) -> None:
    model, options = kind
    op = maddjit.compile(model, **options)
    op.export(tmp_path)
    loaded = maddjit.native.load(tmp_path)
    parts = [some_rows(model, 50 + seed, seed) for seed in range(32)]
    wanted = [op(part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            found = pool.map(loaded, parts)
            assert all(same_bits(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.fixture
def loaded(tmp_path: Path) -> maddjit.native.NativeOperator:
    if CC is None:
        pytest.skip("there is no C compiler that links on Linux")
    maddjit.export(maddness(), tmp_path, name="head", target="host")
    return maddjit.native.load(tmp_path)


def test_arrays_that_do_not_fit_are_refused(loaded: Any) -> None:
    A = some_rows(maddness(), 5)
    wanted = reference.apply(maddness(), A)
    with pytest.raises(ValueError, match=r"shape \(N, 19\)"):
        loaded(A[:, 1:])
    with pytest.raises(TypeError, match="float32, for which this was exported, not float64"):
        loaded(A.astype(np.float64))
    with pytest.raises(ValueError, match=r"out must have shape \(5, 37\)"):
        loaded(A, out=np.empty((5, 38), np.float32))
    with pytest.raises(TypeError, match="out must be an array of float32"):
        loaded(A, out=np.empty((5, 37)))
    frozen = np.empty((5, 37), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        loaded(A, out=frozen)
    memory = np.zeros((5, 60), np.float32)
    for out in (memory[:, 5:42], memory[::-1, 5:42], memory[:, 42:5:-1]):
        assert loaded(A, out=out) is out
        assert same_bits(out.copy(), wanted)
    shared = np.zeros((5, 37), np.float32)
    shared[:, :19] = A
    assert same_bits(loaded(shared[:, :19], out=shared), wanted)


def test_libraries_that_others_could_have_written_are_refused(loaded: Any, tmp_path: Path) -> None:
    (library,) = tmp_path.glob("*.so")
    assert library.stat().st_mode & 0o777 == 0o755
    for place, mode in ((library, 0o775), (library, 0o757), (tmp_path, 0o777)):
        before = place.stat().st_mode
        place.chmod(mode)
        with pytest.raises(PermissionError, match="others may write it"):
            maddjit.native.load(library)
        place.chmod(before)
    link = tmp_path / "elsewhere.so"
    link.symlink_to(library)
    assert maddjit.native.load(link, "head").description == loaded.description
    (tmp_path / "empty").mkdir(mode=0o700)
    with pytest.raises(FileNotFoundError, match="there is no"):
        maddjit.native.load(tmp_path / "empty")
    with pytest.raises(PermissionError, match="not a file"):
        maddjit.native.load("/dev/null")


def test_libraries_of_others_are_refused(
    loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    if tmp_path.stat().st_uid == 0:  # root may change everything anyway
        maddjit.native.load(tmp_path)
        monkeypatch.setattr("maddjit.arrays.ownership.ROOT", 1)
    with pytest.raises(PermissionError, match="belongs to user"):
        maddjit.native.load(tmp_path)


def test_lesser_cpus_are_refused(
    loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = llvm.host()
    needed = loaded.description["requires"]
    if needed:
        lesser = replace(host, features=host.features - {needed[-1]}, cpu="lesser")
        monkeypatch.setattr(llvm, "host", lambda: lesser)
        with pytest.raises(maddjit.TargetError, match=f"needs {needed[-1]}, which this machine"):
            maddjit.native.load(tmp_path)
    other = replace(host, triple="riscv64-unknown-linux-gnu")
    monkeypatch.setattr(llvm, "host", lambda: other)
    with pytest.raises(maddjit.TargetError, match="this machine is riscv64"):
        maddjit.native.load(tmp_path)


def test_what_is_no_export_is_refused(loaded: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no library that maddjit exported as 'foot'"):
        maddjit.native.load(tmp_path / "libhead.so", "foot")
    broken = tmp_path / "libbroken.so"
    broken.write_bytes(b"nothing")
    broken.chmod(0o600)
    with pytest.raises(OSError, match=r"libbroken\.so"):
        maddjit.native.load(broken)


def test_another_export_to_the_same_place(loaded: Any, tmp_path: Path) -> None:
    """The system's loader would hand back the earlier library, with other constants."""
    A, earlier = some_rows(maddness(), 9), reference.apply(maddness(), some_rows(maddness(), 9))
    other = random_model(9, n_features=19, n_codebooks=7, n_prototypes=16, n_outputs=37)
    maddjit.export(other, tmp_path, name="head")
    assert same_bits(loaded(A), earlier)
    with pytest.raises(ValueError, match="has changed since"):
        maddjit.native.load(tmp_path)


def test_pickled_operators_find_their_library_again(loaded: Any, tmp_path: Path) -> None:
    """By its path, and only if it is the same file."""
    A = some_rows(maddness(), 9)
    pickled = pickle.dumps(loaded)
    assert same_bits(pickle.loads(pickled)(A), loaded(A))
    library = loaded.path
    content = library.read_bytes()
    library.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"needs its library, and .*libhead\.so is not there"
    ):
        pickle.loads(pickled)
    library.write_bytes(content + b"more")
    library.chmod(0o755)
    with pytest.raises(ValueError, match="is not the library of the operator that was pickled"):
        pickle.loads(pickled)
    with pytest.raises(ValueError, match="has changed since it was loaded"):
        pickle.dumps(loaded)


def test_the_same_files_every_time(tmp_path: Path) -> None:
    made = [maddjit.export(maddness(), tmp_path / part, name="head") for part in ("a", "b")]
    for path in made[0].object.parent.iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(
        ["CMakeLists.txt", "head.h", "head.o", "head_example.c"] + ["libhead.so"] * bool(CC)
    )


def test_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    exported = maddjit.export(maddness(), tmp_path)
    assert exported.library is None
    assert "no C compiler that links for" in exported.missing
    assert "no C compiler that links for" in str(exported)
    assert exported.object.exists()
    assert exported.header.exists()
    with pytest.raises(maddjit.LinkError, match="no-such-compiler does not link"):
        maddjit.export(maddness(), tmp_path, compiler="no-such-compiler")
    with pytest.raises(FileNotFoundError, match="there is no"):
        maddjit.native.load(tmp_path)


@needs_cc
def test_no_library_of_an_earlier_export_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for compiler in ("false", "'no end"):
        maddjit.export(maddness(), tmp_path, name="head")
        with pytest.raises(maddjit.LinkError, match=compiler):
            maddjit.export(tiles(), tmp_path, name="head", compiler=compiler)
        assert not list(tmp_path.glob("*.so"))
    monkeypatch.setenv("CC", "'no end")
    exported = maddjit.export(maddness(), tmp_path, name="head")
    assert exported.library is None
    assert exported.missing == (
        "the environment variable CC holds no command: No closing quotation"
    )


@needs_cc
def test_folders_that_look_like_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("-x", "@x", "a b"):
        exported = maddjit.export(maddness(), folder)
        assert exported.library == Path(folder, "libproduct.so"), exported.missing
        assert exported.library.exists()


@needs_cc
def test_names_that_differ_in_case_alone(tmp_path: Path) -> None:
    """Their macros are the same: C must not take the second header for the first."""
    for name in ("head", "Head"):
        maddjit.export(maddness(), tmp_path, name=name)
    source = tmp_path / "both.c"
    source.write_text('#include "head.h"\n#include "Head.h"\n')
    done = subprocess.run(
        [str(CC), "-fsyntax-only", source], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "HEAD_OK" in done.stderr


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    for options, words in (
        ({"name": "2 words"}, "name must be"),
        ({"name": ""}, "name must be"),
        ({"name": "all"}, "CMake has a target of that name"),
        ({"order": "strided"}, 'order must be "C" or "F"'),
        ({"result": "sums"}, "result must be"),
        ({"k": 3}, "k is for"),
        ({"precision": "bfloat16"}, "for Strassen-Tile models"),
        ({"result": "argmax"}, "no short list"),
        ({"result": "argmax", "out_order": "F"}, "for outputs, not for winners"),
        ({"target": "sparc"}, "unknown target"),
    ):
        with pytest.raises(ValueError, match=words):
            maddjit.export(maddness(), tmp_path / "none", **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="outputs alone"):
        maddjit.export(tiles(), tmp_path / "none", result="argmax")
    assert not (tmp_path / "none").exists()


@pytest.mark.quick(2)
def test_aarch64_under_emulation(kind: Any, zig: str, tmp_path: Path) -> None:
    """The same bits as here; of tiles those of the levels that fuse, too."""
    model, options = kind
    exported = maddjit.export(
        model, tmp_path, name="head", target="aarch64", compiler=zig, **options
    )
    assert exported.library is not None
    assert elf.architecture(exported.library.read_bytes()) == "aarch64"
    flags = ("-O1", "-Wall", "-Werror", "-ffreestanding", "-nostdlib", "-static", "-I", tmp_path)
    program = tmp_path / "bare"
    run(*zig.split(), *flags, HERE / "c" / "bare.c", exported.object, "-o", program)
    op = maddjit.compile(model, **options)
    for n_rows in (0, 1, 77):
        A = some_rows(model, n_rows)
        done = subprocess.run(
            [str(QEMU), program], input=A.tobytes(), capture_output=True, check=True
        )
        if isinstance(model, maddjit.StrassenTileModel):
            found = np.frombuffer(done.stdout, np.float32).reshape(n_rows, model.n_outputs)
            away = np.abs(found - tile_reference.multiply(model, A))
            assert (away <= tile_reference.error_bound(model, A)).all()
        if not isinstance(model, maddjit.StrassenTileModel) or op.target.fuses:
            assert done.stdout == op(A).tobytes()
    if llvm.host().architecture != "aarch64":
        with pytest.raises(maddjit.TargetError, match="is for aarch64"):
            maddjit.native.load(tmp_path)


@pytest.mark.slow
def test_the_example_for_aarch64(zig: str, tmp_path: Path) -> None:
    """As a static program: Zig builds a whole C library for that, once."""
    model = maddness()
    exported = maddjit.export(model, tmp_path, name="head", target="aarch64", compiler=zig)
    A = some_rows(model, 77)
    found, _ = results_of(build_example(exported, *zig.split(), "-static"), A, np.float32, QEMU)
    assert found.tobytes() == reference.apply(model, A).tobytes()


@pytest.mark.quick(2)
@pytest.mark.parametrize("level", [name for name in LEVELS if name not in RUNNABLE])
def test_targets_that_this_machine_lacks(level: str, kind: Any, tmp_path: Path) -> None:
    model, options = kind
    exported = maddjit.export(model, tmp_path, name="head", target=level, **options)
    code = exported.object.read_bytes()
    assert elf.architecture(code) == ("aarch64" if level == "aarch64" else "x86_64")
    assert elf.undefined(code) == []
    assert f"for {level} (" in exported.header.read_text()


def test_the_description_is_json(tmp_path: Path) -> None:
    exported = maddjit.export(maddness(), tmp_path, name="head", target="aarch64")
    told = described(exported)
    assert (told["n_features"], told["width"], told["level"]) == (19, 37, "aarch64")


@pytest.mark.parametrize("make", [maddness, tiles])
def test_what_happens_to_outputs_is_described(make: Any, tmp_path: Path) -> None:
    clamped = maddjit.Epilogue("uint8", low=0, high=6, step=0.05, zero_point=3)
    exported = maddjit.export(make(), tmp_path / "clamped", target="x86-64-v3", epilogue=clamped)
    header, told = exported.header.read_text(), described(exported)
    words = "clamped to [0.0, 6.0], stored as uint8 in steps of 0.05 with zero point 3"
    assert told["words"].endswith(f", {words}")
    assert f"product: {told['words']}." in header
    assert "\n#define PRODUCT_STEP 0.05f\n#define PRODUCT_ZERO_POINT 3\n" in header
    assert [told[key] for key in ENDS] == [0, 6, clamped.step, 3]
    plain = maddjit.export(make(), tmp_path / "plain", target="x86-64-v3")
    told = described(plain)
    assert [told[key] for key in ENDS] == [None] * 4
    assert "_STEP" not in plain.header.read_text()
    assert "clamped" not in told["words"]


@needs_cc
def test_a_library_that_says_nothing_of_its_epilogue_is_loaded(tmp_path: Path) -> None:
    """Libraries of earlier versions of the package say nothing of it."""
    maddjit.compile(maddness()).export(tmp_path, name="head")
    loaded, A = maddjit.native.load(tmp_path), some_rows(maddness(), 20)
    less = {key: value for key, value in loaded.description.items() if key not in ENDS}
    assert len(less) == len(loaded.description) - len(ENDS)
    earlier = maddjit.native.NativeOperator(loaded.path, less, loaded._library)
    assert same_bits(earlier(A), loaded(A))
    assert "MADDNESS" in repr(earlier)


@needs_cc
def test_a_step_compiles_as_a_float(tmp_path: Path) -> None:
    for number, step in enumerate((1.0, 0.1, 1e-10, 3e12)):
        epilogue = maddjit.Epilogue("int8", step=step)
        op = maddjit.compile(maddness(), epilogue=epilogue)
        exported = op.export(tmp_path / str(number), name="head")
        bits = int(np.float32(step).view(np.uint32))
        program = exported.example.with_name("step.c")
        program.write_text(
            '#include "head.h"\n#include <string.h>\nint main(void) {\n'
            "  float step = HEAD_STEP; uint32_t bits; memcpy(&bits, &step, 4);\n"
            f"  return bits != {bits}u || HEAD_ZERO_POINT != 0;\n}}\n"
        )
        run(CC, program, "-o", program.with_suffix(""))
        run(program.with_suffix(""))
