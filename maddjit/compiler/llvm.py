"""LLVM: IR becomes assembly, objects, loaded functions; the only module that imports llvmlite."""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import llvmlite
import llvmlite.binding as llvm

from maddjit.compiler import objects
from maddjit.compiler.objects import Code
from maddjit.compiler.target import Host, Target

LoweredStage = Literal["optimized", "assembly"]

LLVM_VERSION = ".".join(map(str, llvm.llvm_version_info))
LLVMLITE_VERSION: str = llvmlite.__version__

_READ_OF_TARGETS = ("triple", "cpu", "features", "intrinsics")
"""The fields of a target, besides its name, that this module reads and hands to the worker."""

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
"""Where Linux tells the sizes of a core's caches. Python's `os.sysconf` has no names for them."""

REFUSED = 2
"""The worker's exit status if LLVM rejects the code; its standard error is then the reason."""

_calling: Any = getattr(llvm.ffi.lib, "_lock", None)
"""The lock that llvmlite holds during each call of LLVM. It has no public name."""
if _calling is not None and hasattr(os, "register_at_fork"):
    # A process is forked while no thread is inside LLVM. Otherwise the child would wait for ever.
    os.register_at_fork(
        before=_calling.__enter__,
        after_in_parent=partial(_calling.__exit__, None, None, None),
        after_in_child=partial(_calling.__exit__, None, None, None),
    )


class NativeCodeError(RuntimeError):
    """LLVM rejected the generated code, or the code needs something that does not exist."""


@dataclass(frozen=True)
class LoadedFunction:
    """A function in executable memory, and what was found beside it. They live as long as this."""

    address: int
    beside: int = 0


@cache
def host() -> Host:
    """Return what LLVM and the operating system grant on this machine."""
    features = frozenset(name for name, granted in llvm.get_host_cpu_features().items() if granted)
    return Host(llvm.get_process_triple(), llvm.get_host_cpu_name(), features, last_cache_bytes())


def last_cache_bytes(folder: Path = _CACHES) -> int:
    """Return the size of the last cache as Linux tells it, or a usual one where nothing does."""
    sizes = (file.read_text().strip() for file in folder.glob("index*/size"))
    known = [1024 * int(size[:-1]) for size in sizes if re.fullmatch(r"\d+K", size)]
    return max(known, default=32 * 1024 * 1024)


@cache
def _initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def _machine(target: Target) -> Any:
    _initialize()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small"
    )


@contextmanager
def _parsed(ir: str, target: Target, linked: Sequence[str] = ()) -> Iterator[Any]:
    """Provide the verified module of LLVM IR; refuse declarations that the target does not allow.

    Other modules may be linked to it. Then their functions are internal, so that one object cannot
    hide another one's.

    LLVM itself aborts the process on an intrinsic that the target lacks, and turns a misspelt one
    into a call to nowhere. The module is always freed before its context.
    """
    try:
        # Each module has a context of its own. The global one would keep every constant for ever.
        context = llvm.create_context()
        module = llvm.parse_assembly(ir, context)
    except RuntimeError as error:
        raise NativeCodeError(f"LLVM rejects the rendered code: {error}") from error
    with module:
        try:
            names = [name for other in linked for name in _linked(module, other, context)]
            for name in names:
                module.get_function(name).linkage = "internal"
            module.verify()
        except RuntimeError as error:
            raise NativeCodeError(f"LLVM rejects the rendered code: {error}") from error
        _refuse(_declared(module) - set(target.intrinsics), target)
        yield module


def _linked(module: Any, ir: str, context: Any) -> list[str]:
    """Link a module of LLVM IR to another one; return the names of the functions that it brings."""
    other = llvm.parse_assembly(ir, context)
    names = [
        function.name
        for function in other.functions
        if not function.is_declaration and function.linkage == llvm.Linkage.external
    ]
    module.link_in(other)
    return names


def _declared(module: Any) -> set[str]:
    """Return the names of the functions that a module declares and does not define."""
    return {function.name for function in module.functions if function.is_declaration}


def _refuse(names: set[str], target: Target) -> None:
    """Raise NativeCodeError if there are any names; the target allows none of them."""
    if names:
        raise NativeCodeError(f"target {target.name} does not allow {', '.join(sorted(names))}")


def _optimize(module: Any, machine: Any) -> None:
    """Run LLVM's passes of level O1. The templates have already tiled and unrolled the loops."""
    with llvm.create_pipeline_tuning_options(speed_level=1) as options:
        options.loop_unrolling = False
        options.loop_vectorization = False
        options.slp_vectorization = False
        with llvm.create_pass_builder(machine, options) as builder:
            passes = builder.getModulePassManager()
            try:
                passes.run(module, builder)
            finally:
                _dispose(passes)


def _dispose(passes: Any) -> None:
    """Free a pass manager: 40 KiB or more, which llvmlite 0.50 does not free.

    In that version `close` finds the method of the first base class, which does nothing.
    """
    if type(passes)._dispose is llvm.ffi.ObjectRef._dispose:
        llvm.newpassmanagers.NewPassManager._dispose(passes)
        passes.detach()
    passes.close()


@contextmanager
def _optimized(ir: str, target: Target, linked: Sequence[str] = ()) -> Iterator[tuple[Any, Any]]:
    """Provide the optimised module of LLVM IR, and the machine that emits its code."""
    with _parsed(ir, target, linked) as module, _machine(target) as machine:
        module.data_layout = str(machine.target_data)
        _optimize(module, machine)
        # Passes add intrinsics of their own, such as llvm.umin. Only those that become calls of a
        # library, such as llvm.memset, are refused.
        added = _declared(module) - set(target.intrinsics)
        _refuse({name for name in added if not name.startswith("llvm.") or "mem" in name}, target)
        yield module, machine


def to_object(ir: str, target: Target, hidden: str = "", linked: Sequence[str] = ()) -> bytes:
    """Return the relocatable object code of a module.

    Parameters
    ----------
    ir : str
        A module of LLVM IR.
    target : Target
        The level to generate code for.
    hidden : str
        The function that is hidden from other libraries; empty if none is.
    linked : sequence of str
        Modules whose functions `ir` declares and calls.

    Raises
    ------
    NativeCodeError
        If LLVM rejects `ir` or it declares a function that the target does not allow.
    """
    with _optimized(ir, target, linked) as (module, machine):
        if hidden:
            module.get_function(hidden).visibility = "hidden"
        code: bytes = machine.emit_object(module)
    return code


def to_text(ir: str, target: Target, stage: LoweredStage, linked: Sequence[str] = ()) -> str:
    """Return the optimised IR or the assembly of a module, as text.

    Raises
    ------
    NativeCodeError
        If LLVM rejects `ir` or it declares a function that the target does not allow.
    """
    with _optimized(ir, target, linked) as (module, machine):
        text: str = str(module) if stage == "optimized" else machine.emit_assembly(module)
    return text


def to_text_apart(ir: str, target: Target, stage: LoweredStage, linked: Sequence[str] = ()) -> str:
    """Return the text of `to_text`, made by a separate process, because LLVM may abort it.

    This is for targets that this machine may lack.

    Raises
    ------
    NativeCodeError
        If that process fails.
    """
    return _apart(target, {"ir": ir, "stage": stage, "linked": list(linked)}).decode()


def to_object_apart(ir: str, target: Target, hidden: str = "", linked: Sequence[str] = ()) -> bytes:
    """Return the object of `to_object`, made by a separate process, because LLVM may abort it.

    Raises
    ------
    NativeCodeError
        If that process fails.
    """
    request = {"ir": ir, "stage": "object", "hidden": hidden, "linked": list(linked)}
    return _apart(target, request)


def _apart(target: Target, request: dict[str, Any]) -> bytes:
    """Return what the worker writes when it is given a request for a target."""
    request["level"] = target.name
    request["target"] = {name: getattr(target, name) for name in _READ_OF_TARGETS}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "maddjit.compiler.worker"],
        input=json.dumps(request).encode(),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or "no message"
        if done.returncode == REFUSED:
            raise NativeCodeError(f"no code for {target.name}: {said}")
        # LLVM aborted the process, or Python raised: the last line says why.
        reason = said.splitlines()[-1]
        raise NativeCodeError(f"no code for {target.name} (exit {done.returncode}): {reason}")
    return done.stdout


def load(code: bytes | Code, symbol: str, target: Target, beside: str = "") -> LoadedFunction:
    """Place object code in executable memory, and return its function `symbol`.

    Parameters
    ----------
    code : bytes or Code
        An object of `to_object`, or such an object whose constants stand apart from it.
    symbol : str
        The function to find.
    target : Target
        The level that the object was made for.
    beside : str
        Another function, or a global variable, to find; empty for none.

    Raises
    ------
    NativeCodeError
        If the object does not define them, or needs symbols that other objects define. LLVM would
        abort the process in the latter case.
    """
    code = Code(code) if isinstance(code, bytes) else code
    if needed := objects.needed(code.object):
        raise NativeCodeError(f"the compiled object needs {', '.join(needed)}")
    _initialize()
    empty = llvm.parse_assembly(f'target triple = "{target.triple}"', llvm.create_context())
    # Code and constants share one reservation, so 32-bit distances between them cannot overflow.
    engine = llvm.create_mcjit_compiler(empty, _machine(target), use_lmm=True)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.object))
    engine.finalize_object()
    address: int = engine.get_function_address(symbol)
    if not address:
        raise NativeCodeError(f"the compiled object does not define {symbol}")
    if code.place:
        _fill(_global(engine, code.place), code)
    function = LoadedFunction(address, _global(engine, beside) if beside else 0)
    # Only this finalizer holds the engine. In a cycle of garbage, Python could dispose of the
    # engine's LLVM context first, and LLVM would crash.
    weakref.finalize(function, engine.close).atexit = False
    return function


def _global(engine: Any, symbol: str) -> int:
    """Return the address of a function or variable of a loaded object."""
    address: int = engine.get_global_value_address(symbol)
    if not address:
        raise NativeCodeError(f"the compiled object does not define {symbol}")
    return address


def _fill(address: int, code: Code) -> None:
    """Write the constants of an object to their place in memory."""
    place = memoryview((ctypes.c_char * code.n_constants).from_address(address)).cast("B")
    begun = 0
    for piece in code.constants:
        place[begun : begun + len(piece)] = piece
        begun += len(piece)
