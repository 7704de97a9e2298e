"""LLVM: code that would make it abort is refused, other code is compiled and loaded."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maddjit.compiler import llvm, objects
from maddjit.compiler.target import named, resolve

HOST = resolve(None, llvm.host())
ADD = "define i64 @add_one(i64 %x) {\n  %y = add i64 %x, 1\n  ret i64 %y\n}\n"


def test_load_and_call() -> None:
    function = llvm.load(llvm.to_object(ADD, HOST), "add_one", HOST)
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(function.address)(41) == 42


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((), 32 << 20),
        (("48K", "32K", "2048K", "307200K"), 300 << 20),
        (("32K", "", "unknown"), 32 << 10),
    ],
)
def test_the_last_cache_is_as_large_as_linux_tells(
    sizes: tuple[str, ...], expected: int, tmp_path: Path
) -> None:
    for i, size in enumerate(sizes):
        (tmp_path / f"index{i}").mkdir()
        (tmp_path / f"index{i}" / "size").write_text(f"{size}\n")
    assert llvm.last_cache_bytes(tmp_path) == expected


REPEATED = """
import resource, sys
import numpy as np
import maddjit
from maddjit.compiler import llvm, objects
from tests.random_models import random_model
sizes = dict(n_features=16, n_codebooks=4, n_prototypes=16, n_outputs=int(sys.argv[1]))
op = maddjit.compile(random_model(0, **sizes))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for i in range(40):
    if i == 10:
        before = peak()
    llvm.to_object(op.ir(), op.target)
grown = peak() - before
print(grown // 1024 if sys.platform == "darwin" else grown)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no resource.getrusage")
@pytest.mark.parametrize("n_outputs", [4, pytest.param(1000, marks=pytest.mark.slow)])
def test_memory_of_a_compilation_is_given_back(n_outputs: int) -> None:
    """The bound is 10 MiB for 1000 compilations: 10.24 KiB each, of which callbacks keep 0 to 2.

    A pass manager that is not freed keeps 40 KiB for 4 outputs and 110 KiB for 1000. The first ten
    compilations are not counted: LLVM's own tables and the allocator grow then.
    """
    command = [sys.executable, "-c", REPEATED, str(n_outputs)]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown < 10.24 * 30


def test_missing_symbol() -> None:
    with pytest.raises(llvm.NativeCodeError, match="does not define add_two"):
        llvm.load(llvm.to_object(ADD, HOST), "add_two", HOST)


@pytest.mark.parametrize(
    "name", ["llvm.x86.avx512.permvar.sf.512", "llvm.x86.avx2.permsp", "memcpy", "printf"]
)
def test_unlisted_declarations(name: str) -> None:
    with pytest.raises(llvm.NativeCodeError, match=f"does not allow .*{name}"):
        llvm.to_object(f"declare void @{name}()\n{ADD}", named("x86-64-v3"))


def test_calls_that_an_optimisation_invents() -> None:
    clear = """define void @clear(ptr %p, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %place = getelementptr i8, ptr %p, i64 %i
  store i8 0, ptr %place
  %next = add nuw i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""
    with pytest.raises(llvm.NativeCodeError, match=r"does not allow llvm\.memset"):
        llvm.to_object(clear, HOST)


def test_rejected_ir() -> None:
    with pytest.raises(llvm.NativeCodeError, match="LLVM rejects"):
        llvm.to_object("define void @f() { nonsense }", HOST)
    with pytest.raises(llvm.NativeCodeError, match="LLVM rejects"):
        llvm.to_object("define i32 @f() {\n ret i32 %x\n}", HOST)


def test_abort_of_a_foreign_target_is_an_error() -> None:
    ir = (
        "declare <8 x float> @llvm.x86.avx2.permps(<8 x float>, <8 x i32>)\n"
        "define <8 x float> @f(<8 x float> %a, <8 x i32> %i) {\n"
        "  %r = call <8 x float> @llvm.x86.avx2.permps(<8 x float> %a, <8 x i32> %i)\n"
        "  ret <8 x float> %r\n}\n"
    )
    from dataclasses import replace

    careless = replace(named("x86-64"), intrinsics=("llvm.x86.avx2.permps",))
    with pytest.raises(llvm.NativeCodeError, match=r"no code for x86-64 \(exit -?\d+\)"):
        llvm.to_text_apart(ir, careless, "assembly")


def test_an_error_of_a_foreign_target_is_told_whole() -> None:
    misspelt = ADD.replace("add i64", "ad i64")
    with pytest.raises(llvm.NativeCodeError, match="expected instruction opcode") as here:
        llvm.to_object(misspelt, HOST)
    for refused in (
        lambda: llvm.to_text_apart(misspelt, named("x86-64-v3"), "assembly"),
        lambda: llvm.to_object_apart(misspelt, named("x86-64-v3")),
    ):
        with pytest.raises(llvm.NativeCodeError) as apart:
            refused()
        assert str(apart.value) == f"no code for x86-64-v3: {here.value}".strip()
    assert "%y = ad i64 %x, 1" in str(here.value)


LARGE = """
@table = private unnamed_addr constant [{size} x i8] c"{text}", align 64
@small = private unnamed_addr constant [4 x i8] c"abcd", align 64
define i8 @entry(i64 %i, i64 %j) {{
  %place = getelementptr i8, ptr @table, i64 %i
  %x = load i8, ptr %place
  %other = getelementptr i8, ptr @small, i64 %j
  %y = load i8, ptr %other
  %sum = add i8 %x, %y
  ret i8 %sum
}}
"""


@pytest.mark.parametrize("size", [1000, 65536, 100001])
def test_large_constants_apart(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    text = "".join(f"\\{byte:02x}" for byte in data)
    whole = llvm.to_object(LARGE.format(size=size, text=text), HOST)
    code = objects.parted(whole)
    is_apart = HOST.system == "linux" and size >= 65536
    assert bool(code.place) == is_apart
    assert (data[1000 // 3 : 999] in code.object) != is_apart
    assert code.n_bytes >= size
    if is_apart:
        assert len(code.object) < 5000
        assert data in b"".join(code.constants)
        assert objects.needed(code.object) == []
    for each in (code, whole):
        function = llvm.load(each, "entry", HOST)
        entry = ctypes.CFUNCTYPE(ctypes.c_uint8, ctypes.c_int64, ctypes.c_int64)(function.address)
        for i in (0, 1, 999, size // 2, size - 1):
            for j, letter in enumerate(b"abcd"):
                assert entry(i, j) == (data[i] + letter) % 256
