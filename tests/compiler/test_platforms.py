"""Code for other systems: formats, symbols and relocations. Code for this architecture is run."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import reference
from maddjit.compiler import llvm, objects
from maddjit.compiler.maddness.lists import Lists
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.objects import coff, elf, macho
from maddjit.compiler.platforms import SYSTEMS, verified
from maddjit.compiler.render import render, render_call
from maddjit.compiler.request import lists_of, plan_of
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Host, Target, TargetError, named, resolve
from maddjit.looking.listing import annotated
from maddjit.operators import callcode
from maddjit.operators.fastcall import FastCall, Results
from maddjit.operators.kernel import Kernel
from maddjit.operators.runner import Runner
from maddjit.reference import strassen_tile as tile_reference
from tests.conftest import RUNNABLE, same_bits
from tests.random_models import random_model, rows_for, with_short_list

HERE = llvm.host()
TRIPLES = {
    ("linux", "x86_64"): "x86_64-unknown-linux-gnu",
    ("linux", "aarch64"): "aarch64-unknown-linux-gnu",
    ("macos", "x86_64"): "x86_64-apple-darwin22.1.0",
    ("macos", "aarch64"): "arm64-apple-darwin23.1.0",
    ("windows", "x86_64"): "x86_64-pc-windows-msvc",
    ("windows", "aarch64"): "aarch64-pc-windows-msvc",
}
"""The triples of processes on these systems, as LLVM reports them."""
LEVEL = {"x86_64": "x86-64-v4-vbmi", "aarch64": "aarch64"}
COVERAGE = 0.5


def host(system: str, architecture: str, level: str | None = None) -> Host:
    """Return the record of a machine of another kind."""
    features = named(level or LEVEL[architecture]).requires
    return Host(TRIPLES[system, architecture], "generic", features, 2**25)


def target(system: str, architecture: str, level: str | None = None) -> Target:
    return resolve(level, host(system, architecture, level))


@cache
def models() -> dict[str, tuple[Any, Signature]]:
    """Return models by name, each with the signature of its kernel."""
    small = random_model(1, n_features=19, n_codebooks=7, n_prototypes=16, n_outputs=37)
    listed = random_model(2, n_features=20, n_codebooks=6, n_prototypes=16, n_outputs=70)
    B = np.random.default_rng(3).standard_normal((20, 20)).astype(np.float32)
    return {
        "outputs": (small, Signature()),
        "columns": (small, Signature(out_order="F")),
        "winners": (with_short_list(listed, 3, 40), Signature(result="winners")),
        "tiles": (maddjit.fit_strassen_tile(B, tile=2), Signature()),
    }


def plan_for(kind: str, chosen: Target) -> Any:
    model, signature = models()[kind]
    return plan_of(model, chosen, signature)


def test_architectures_and_systems_of_triples() -> None:
    for (system, architecture), triple in TRIPLES.items():
        found = Host(triple, "", frozenset(), 0)
        assert (found.system, found.architecture) == (system, architecture)
    bsd = Host("amd64-unknown-freebsd14", "", frozenset(), 0)
    assert (bsd.system, bsd.architecture) == ("freebsd14", "x86_64")
    for triple, found_to_be in (
        ("x86_64-pc-linux-gnu", "the test suite runs on it"),
        ("x86_64-alpine-linux-musl", "never tried"),
        ("riscv64-unknown-linux-gnu", "never tried"),
        ("aarch64-pc-windows-msvc", "built for, not run"),
    ):
        assert verified(triple) == found_to_be


def test_levels_of_each_platform() -> None:
    assert target("macos", "aarch64").name == "aarch64"
    assert target("macos", "x86_64", "x86-64-v3").name == "x86-64-v3"
    assert target("windows", "x86_64").triple == "x86_64-pc-windows-msvc-elf"
    assert target("windows", "x86_64").for_linkers().triple == "x86_64-pc-windows-gnu"
    assert target("macos", "aarch64").triple == "arm64-apple-darwin23.1.0"
    assert target("macos", "aarch64").for_linkers().triple == "arm64-apple-macosx11.0.0"
    assert target("linux", "x86_64").for_linkers("macos").triple == "x86_64-apple-macosx10.13.0"
    musl = replace(target("linux", "x86_64"), triple="x86_64-alpine-linux-musl")
    assert musl.for_linkers().triple == musl.triple
    with pytest.raises(TargetError, match="system must be one of linux, macos, windows, not 'os2'"):
        musl.for_linkers("os2")


FORMATS = {"linux": "elf", "macos": "macho", "windows": "coff"}
RELOCATIONS = {
    ("elf", "x86_64"): {2, 4, 9, 42},  # PC32, PLT32, and by way of a table of addresses
    ("elf", "aarch64"): {275, 277, 278, 283, 284, 285, 286, 299, 311, 312},
    ("macho", "x86_64"): {1, 2, 6, 7, 8},  # SIGNED and BRANCH
    ("macho", "aarch64"): {2, 3, 4, 10},  # BRANCH26, PAGE21, PAGEOFF12, ADDEND
    ("coff", "x86_64"): {4, 5, 6, 7, 8, 9},  # REL32, with up to five bytes behind
    ("coff", "aarch64"): {3, 4, 5, 6, 7},  # BRANCH26, PAGEBASE_REL21, PAGEOFFSETs
}
"""Kinds of relocations that are distances inside of an object; none is an address."""


def numbers(code: bytes, at: int, *sizes: int) -> list[int]:
    found = []
    for size in sizes:
        found.append(int.from_bytes(code[at : at + size], "little"))
        at += size
    return found


def relocations(code: bytes) -> set[int]:
    """Return the kinds of relocations of an object, by its format's numbers."""
    kinds: set[int] = set()
    if elf.architecture(code):
        (at,), count = numbers(code, 40, 8), numbers(code, 60, 2)[0]
        for i in range(count):
            kind, _, _, place, size = numbers(code, at + 64 * i + 4, 4, 8, 8, 8, 8)
            entries = range(place, place + size, 24) if kind == 4 else ()
            kinds |= {numbers(code, entry + 8, 4)[0] for entry in entries}
    elif macho.architecture(code):
        at = 32
        for _ in range(numbers(code, 16, 4)[0]):
            command, size = numbers(code, at, 4, 4)
            n_sections = numbers(code, at + 64, 4)[0] if command == 0x19 else 0
            for i in range(n_sections):
                place, count = numbers(code, at + 72 + 80 * i + 56, 4, 4)
                kinds |= {code[place + 8 * j + 7] >> 4 for j in range(count)}
            at += size
    else:
        for i in range(numbers(code, 2, 2)[0]):
            place, _, count = numbers(code, 20 + 40 * i + 24, 4, 4, 2)
            kinds |= {numbers(code, place + 10 * j + 8, 2)[0] for j in range(count)}
    return kinds


def format_of(code: bytes) -> str:
    forms = {"elf": elf, "macho": macho, "coff": coff}
    return next(name for name, form in forms.items() if form.architecture(code))


@pytest.mark.quick(8)
@pytest.mark.parametrize(("system", "architecture"), list(TRIPLES))
@pytest.mark.parametrize("kind", ["outputs", "winners", "tiles"])
def test_objects_need_nothing(system: str, architecture: str, kind: str) -> None:
    loaded = target(system, architecture)
    formats = {loaded: FORMATS[system], loaded.for_linkers(): FORMATS[system]}
    if system == "windows":
        formats[loaded] = "elf"
    for chosen, wanted in formats.items():
        plan = plan_for(kind, chosen)
        code = llvm.to_object(render(plan), chosen)
        found = format_of(code)
        assert found == wanted
        assert objects.architecture(code) == architecture
        assert objects.needed(code) == []
        prefix = b"_" if found == "macho" else b""
        assert b"\0" + prefix + plan.symbol.encode() + b"\0" in code
        assert relocations(code) <= RELOCATIONS[found, architecture]


@pytest.mark.parametrize(("system", "architecture"), list(TRIPLES))
def test_what_is_not_defined_is_found(system: str, architecture: str) -> None:
    """If needs were not seen, the tests above would always pass."""
    ir = "declare void @elsewhere()\ndefine void @here() {\n call void @elsewhere()\n ret void\n}\n"
    open_ended = replace(target(system, architecture), intrinsics=("elsewhere",))
    for chosen in (open_ended, open_ended.for_linkers()):
        code = llvm.to_object(f'target triple = "{chosen.triple}"\n{ir}', chosen)
        assert objects.needed(code) == ["elsewhere"]


def test_code_that_needs_something_is_not_loaded() -> None:
    """LLVM would end the process if it were loaded."""
    ir = "declare void @elsewhere()\ndefine void @here() {\n call void @elsewhere()\n ret void\n}\n"
    careless = replace(resolve(None, HERE), intrinsics=("elsewhere",))
    with pytest.raises(llvm.NativeCodeError, match="the compiled object needs elsewhere"):
        llvm.load(llvm.to_object(ir, careless), "here", careless)


on_linux_of_x86 = pytest.mark.skipif(
    (HERE.system, HERE.architecture) != ("linux", "x86_64"),
    reason="calls code for other systems of x86-64 as Linux calls its own",
)
_TYPES = {"p": "ptr", "n": "i64", "i": "i32", "v": "void"}
_CTYPES = {"p": ctypes.c_void_p, "n": ctypes.c_int64, "i": ctypes.c_int, "v": None}
_KERNEL = "vpnnnpnpp"
"""What a kernel returns and takes: nothing (v), pointers (p) and numbers (n)."""
_LISTING_KERNEL = _KERNEL + "nn"
"""A kernel that lists outputs also takes a margin and the room on lists."""


class Bridges:
    """Makes functions that translate between the calling conventions of Windows and Linux."""

    def __init__(self) -> None:
        self._kept: list[llvm.LoadedFunction] = []

    def make(self, address: int, kinds: str, own: str = "", other: str = "") -> int:
        """Return the address of a function that calls `address` by another convention."""
        chosen = resolve(None, HERE)
        returned, names = _TYPES[kinds[0]], [f"%{i}" for i in range(len(kinds) - 1)]
        taken = ", ".join(f"{_TYPES[kind]} {x}" for kind, x in zip(kinds[1:], names, strict=True))
        result = "" if kinds[0] == "v" else "%result = "
        ir = (
            f'target triple = "{chosen.triple}"\ndefine {own} {returned} @bridge({taken}) {{\n'
            f"  %f = inttoptr i64 {address} to ptr\n  {result}call {other} {returned} %f({taken})\n"
            f"  ret {returned}{' %result' * bool(result)}\n}}\n"
        )
        self._kept.append(llvm.load(llvm.to_object(ir, chosen), "bridge", chosen))
        return self._kept[-1].address

    def into(self, address: int, kinds: str) -> int:
        """Return a function that Linux can call, which calls code for Windows."""
        return self.make(address, kinds, other="win64cc")

    def out_of(self, address: int, kinds: str) -> int:
        """Return a function that code for Windows can call, which calls code for Linux."""
        return self.make(address, kinds, own="win64cc")


def call_kernel(
    address: int, plan: Any, A: NDArray[np.float32], Y: NDArray[Any], lists: Lists | None = None
) -> None:
    workspace = np.empty(plan.workspace_bytes + (lists.n_bytes if lists else 0) + 64, np.uint8)
    aligned = workspace.ctypes.data + -workspace.ctypes.data % 64
    kinds, more = (_LISTING_KERNEL, (lists.margin, lists.room)) if lists else (_KERNEL, ())
    function = ctypes.CFUNCTYPE(*(_CTYPES[kind] for kind in kinds))(address)
    packed = None if plan.packed is None else plan.packed.ctypes.data
    step = Y.strides[0 if Y.flags.c_contiguous else 1]
    function(A.ctypes.data, len(A), A.strides[0], 4, Y.ctypes.data, step, aligned, packed, *more)


@on_linux_of_x86
@pytest.mark.parametrize("system", ["macos", "windows"])
@pytest.mark.parametrize("name", RUNNABLE)
def test_code_for_other_systems_runs_here(system: str, name: str) -> None:
    """LLVM links every format on every system, and bridges translate the calls."""
    bridges = Bridges()
    for kind in models():
        model, _ = models()[kind]
        if kind == "columns" and name == "x86-64":
            continue  # it has no kernel for them
        chosen = resolve(name, replace(HERE, triple=TRIPLES[system, "x86_64"]))
        plan = plan_for(kind, chosen)
        function = llvm.load(llvm.to_object(render(plan), chosen), plan.symbol, chosen)
        address = function.address
        if system == "windows":
            kinds = _LISTING_KERNEL if kind == "winners" else _KERNEL
            address = bridges.into(address, kinds)
        rng = np.random.default_rng(5)
        A = rng.standard_normal((77, model.n_features)).astype(np.float32)
        if kind == "winners":
            found = np.zeros((77, 2 * 3 + 1), np.int64)
            call_kernel(address, plan, A, found, lists_of(model, plan, COVERAGE))
            assert np.array_equal(found[:, :3], reference.settle(model, A, COVERAGE).indices)
            continue
        Y = np.zeros((77, model.n_outputs), np.float32, "F" if kind == "columns" else "C")
        call_kernel(address, plan, A, Y)
        if kind == "tiles":
            away = np.abs(Y - tile_reference.multiply(model, A))
            assert (away <= tile_reference.error_bound(model, A)).all()
        else:
            assert same_bits(np.ascontiguousarray(Y), reference.apply(model, A))


_API_KINDS = {
    "PyBuffer_Release": "vp",
    "PyErr_Clear": "v",
    "PyEval_RestoreThread": "vp",
    "PyEval_SaveThread": "p",
    "PyLong_AsVoidPtr": "pp",
    "PyLong_FromSsize_t": "pn",
    "PyMem_RawCalloc": "pnn",
    "PyMem_RawFree": "vp",
    "PyObject_GetBuffer": "ippi",
    "PyObject_GetItem": "ppp",
    "PyObject_Type": "pp",
    "PyObject_Vectorcall": "pppnp",
    "PyTuple_GetItem": "ppn",
    "PyTuple_Pack": "pnpp",
    "Py_DecRef": "vp",
    "Py_IncRef": "vp",
}


@on_linux_of_x86
@pytest.mark.skipif(sys.implementation.name != "cpython", reason="the function is for CPython")
@pytest.mark.parametrize("system", ["macos", "windows"])
def test_fast_calls_of_other_systems(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython and the function call each other, each by the convention of its own system."""
    model = random_model(0, n_features=12, n_codebooks=6, n_prototypes=16, n_outputs=10)
    chosen = resolve(RUNNABLE[-1], replace(HERE, triple=TRIPLES[system, "x86_64"]))
    plan = plan_of(model, chosen, Signature())
    assert isinstance(plan, Plan)
    bridges, load = Bridges(), llvm.load
    kernel = load(llvm.to_object(render(plan), chosen), plan.symbol, chosen)
    if system == "windows":
        own = callcode._address

        def bridged(code: bytes, symbol: str, on: Target, table: str = "") -> Any:
            function = load(code, symbol, on, table)
            if symbol == "bridge":
                return function
            bridges._kept.append(function)
            address = bridges.into(function.address, "pppn")
            return llvm.LoadedFunction(address, function.beside)

        monkeypatch.setattr(callcode, "_address", lambda n: bridges.out_of(own(n), _API_KINDS[n]))
        monkeypatch.setattr(llvm, "load", bridged)
    assert set(_API_KINDS) == set(callcode._API)
    fast = FastCall(chosen, 12, Results((np.dtype(np.float32),), 10), bits=False)
    fast.add(Runner.of(Kernel(plan, 0, kernel, {})))
    call: Callable[..., Any] = fast.call
    monkeypatch.undo()
    for n_rows in (1, 33):
        A = rows_for(model, n_rows, "float32", 1)
        before = [sys.getrefcount(thing) for thing in (A, np.empty)]
        for _ in range(20):
            assert same_bits(call(A), reference.apply(model, A))
        out = np.empty((n_rows, 10), np.float32)
        assert call(A, out) is out
        assert same_bits(out, reference.apply(model, A))
        assert [sys.getrefcount(thing) for thing in (A, np.empty)] == before
    assert same_bits(call(A[0]), reference.apply(model, A[0]))
    assert call([1.0]) is None


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_large_frames_need_nothing_on_windows(architecture: str) -> None:
    """A frame of more than a page is probed, page by page, by a function of the module."""
    large = """
define void @large() {
  %page = alloca [8192 x i8], align 64
  call void asm sideeffect "", "r"(ptr %page)
  ret void
}
"""
    model, signature = models()["outputs"]
    for chosen in (target("windows", architecture), target("windows", architecture).for_linkers()):
        ir = render(plan_of(model, chosen, signature)) + large
        assert objects.needed(llvm.to_object(ir, chosen)) == []
        assert "chkstk" in ir
        bare = ir.replace("chkstk", "other")
        assert "chkstk" in objects.needed(llvm.to_object(bare, chosen))[0]


@pytest.mark.parametrize(("system", "architecture"), list(TRIPLES))
def test_fast_calls_need_nothing(system: str, architecture: str) -> None:
    chosen = target(system, architecture)
    code = llvm.to_object(render_call(callcode.call_code(chosen.triple)), chosen)
    assert objects.needed(code) == []


@pytest.mark.parametrize("system", ["macos", "windows"])
def test_listings_are_those_of_linux(system: str) -> None:
    """Assembly is listed as for Linux: each system has comments, labels and sections of its own."""
    listings = []
    for each in ("linux", system):
        chosen = target(each, "aarch64")
        listings.append(annotated(render(plan_for("outputs", chosen)), chosen))
    shown, wanted = listings[1].counts, listings[0].counts
    assert {name: shown[name] for name in wanted} == wanted


HIDDEN = """
import os, sys
for name in ("fork", "getuid", "register_at_fork", "sysconf", "sysconf_names", "sched_getaffinity",
             "sched_setaffinity", "O_NOFOLLOW", "geteuid", "fchmod"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("resource", "fcntl", "pwd", "grp", "termios"):
    sys.modules[name] = None
import numpy as np, maddjit, maddjit.cli
from maddjit.cli import main
rng = np.random.default_rng(0)
A = rng.standard_normal((200, 2)) @ rng.standard_normal((2, 8))
model = maddjit.fit(A, np.eye(8, 3), n_codebooks=2)
op = maddjit.compile(model, threads=2)
assert np.array_equal(op(A), maddjit.reference.apply(model, A))
assert main(["cache", "info"]) == 0
"""


def test_nothing_is_needed_that_other_systems_lack(tmp_path: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN],
        env=os.environ | {"MADDJIT_CACHE_DIR": str(tmp_path / "kept")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout
    assert list((tmp_path / "kept").glob("*.object"))


def test_exports_for_each_system(tmp_path: Any) -> None:
    model = random_model(1, n_features=19, n_codebooks=7, n_prototypes=16, n_outputs=37)
    for system, files in (("linux", "head.o"), ("macos", "head.o"), ("windows", "head.obj")):
        for level, architecture in (("x86-64", "x86_64"), ("aarch64", "aarch64")):
            folder = tmp_path / system / level
            folder.mkdir(parents=True)
            own = folder / "libhead.lib"
            own.touch()
            made = maddjit.export(model, folder, name="head", target=level, system=system)
            code = made.object.read_bytes()
            assert made.object.name == files
            assert own.exists()  # nothing that was not exported is removed
            assert format_of(code) == FORMATS[system]
            assert objects.architecture(code) == architecture
            assert f"/{files}" in made.cmake.read_text()
            assert SYSTEMS[system].triples[architecture] in made.header.read_text()
            is_exported = b"-export:head_run" in code.replace(b"/EXPORT", b"-export")
            assert is_exported == (system == "windows")
            assert ("HEAD_DLL" in made.header.read_text()) == (system == "windows")
            if made.library is None:
                assert "no C compiler that links for" in made.missing
    with pytest.raises(TargetError, match="system must be one of"):
        maddjit.export(model, tmp_path, system="os2")
