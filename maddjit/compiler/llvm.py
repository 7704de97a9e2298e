"""LLVM IR → assembly, objects, loaded functions; the only module that imports llvmlite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import llvmlite
import llvmlite.binding as llvm

from maddjit.compiler import objects
from maddjit.compiler.target import Host, Target

Stage = Literal["optimized", "assembly"]

LLVM_VERSION = ".".join(map(str, llvm.llvm_version_info))
LLVMLITE_VERSION: str = llvmlite.__version__

_READ_OF_TARGETS = ("triple", "cpu", "features", "intrinsics")
"""What this module reads of a target besides its name, and hands to a process of its own."""

_calling: Any = getattr(llvm.ffi.lib, "_lock", None)
"""llvmlite's lock around each call of LLVM, which has no public name."""
if _calling is not None and hasattr(os, "register_at_fork"):
    # No other thread is inside LLVM while a process is forked: the child would wait for ever.
    os.register_at_fork(
        before=_calling.__enter__,
        after_in_parent=partial(_calling.__exit__, None, None, None),
        after_in_child=partial(_calling.__exit__, None, None, None),
    )


class NativeCodeError(RuntimeError):
    """LLVM rejected generated code, or the code refers to something that does not exist."""


@dataclass(frozen=True)
class LoadedFunction:
    """A function in executable memory, and its table, which live as long as this record."""

    address: int
    table: int = 0


@cache
def host() -> Host:
    """Return what LLVM and the operating system grant on this machine."""
    features = frozenset(name for name, granted in llvm.get_host_cpu_features().items() if granted)
    return Host(llvm.get_process_triple(), llvm.get_host_cpu_name(), features, _last_cache_bytes())


def _last_cache_bytes() -> int:
    """Return what the C library says of the last-level cache, or a usual size if it does not."""
    known = getattr(os, "sysconf_names", {})
    sizes = [
        os.sysconf(name)
        for name in ("SC_LEVEL3_CACHE_SIZE", "SC_LEVEL2_CACHE_SIZE")
        if name in known
    ]
    return next((size for size in sizes if size > 0), 32 * 1024 * 1024)


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
def _parsed(ir: str, target: Target) -> Iterator[Any]:
    """Parse and verify, and refuse any declaration that is not on the target's list.

    LLVM itself aborts the process on an intrinsic that the target lacks, and turns a misspelt one
    into a call to nowhere. The module is gone afterwards: before its context, whatever happens.
    """
    try:
        # A context of its own: the global one would keep every constant for ever.
        module = llvm.parse_assembly(ir, llvm.create_context())
    except RuntimeError as error:
        raise NativeCodeError(f"LLVM rejects the rendered code: {error}") from error
    with module:
        try:
            module.verify()
        except RuntimeError as error:
            raise NativeCodeError(f"LLVM rejects the rendered code: {error}") from error
        _refuse(_declared(module) - set(target.intrinsics), target)
        yield module


def _declared(module: Any) -> set[str]:
    return {function.name for function in module.functions if function.is_declaration}


def _refuse(names: set[str], target: Target) -> None:
    if names:
        raise NativeCodeError(f"target {target.name} does not allow {', '.join(sorted(names))}")


def _optimize(module: Any, machine: Any) -> None:
    """Run LLVM's O1: the templates already tile and unroll what is worth it."""
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
    """Free a pass manager, which keeps 40 KiB or more and which llvmlite 0.50 does not free.

    There `close` finds the method that does nothing, of the first base class, before the right one.
    """
    if type(passes)._dispose is llvm.ffi.ObjectRef._dispose:
        llvm.newpassmanagers.NewPassManager._dispose(passes)
        passes.detach()
    passes.close()


@contextmanager
def _optimized(ir: str, target: Target) -> Iterator[tuple[Any, Any]]:
    with _parsed(ir, target) as module, _machine(target) as machine:
        module.data_layout = str(machine.target_data)
        _optimize(module, machine)
        # Passes add intrinsics of their own, such as llvm.umin. Those that become calls are no use.
        added = _declared(module) - set(target.intrinsics)
        _refuse({name for name in added if not name.startswith("llvm.") or "mem" in name}, target)
        yield module, machine


def to_object(ir: str, target: Target, hidden: str = "") -> bytes:
    """Return relocatable object code, in which a function may be hidden from other libraries.

    Raises
    ------
    NativeCodeError
        If LLVM rejects `ir` or it declares a function that the target does not allow.
    """
    with _optimized(ir, target) as (module, machine):
        if hidden:
            module.get_function(hidden).visibility = "hidden"
        code: bytes = machine.emit_object(module)
    return code


def to_text(ir: str, target: Target, stage: Stage) -> str:
    """Return the optimised IR or the assembly, as text.

    Raises
    ------
    NativeCodeError
        As `to_object`.
    """
    with _optimized(ir, target) as (module, machine):
        text: str = str(module) if stage == "optimized" else machine.emit_assembly(module)
    return text


def to_text_apart(ir: str, target: Target, stage: Stage) -> str:
    """Do what `to_text` does in a process of its own, which LLVM may abort: for foreign targets.

    Raises
    ------
    NativeCodeError
        If that process fails.
    """
    return _apart(target, {"ir": ir, "stage": stage}).decode()


def to_object_apart(ir: str, target: Target, hidden: str = "") -> bytes:
    """Do what `to_object` does in a process of its own.

    Raises
    ------
    NativeCodeError
        If that process fails.
    """
    return _apart(target, {"ir": ir, "stage": "object", "hidden": hidden})


def _apart(target: Target, request: dict[str, Any]) -> bytes:
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
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise NativeCodeError(f"no code for {target.name} (exit {done.returncode}): {reason}")
    return done.stdout


def load(code: bytes, symbol: str, target: Target, table: str = "") -> LoadedFunction:
    """Place object code into executable memory and find `symbol` in it, and a global `table`.

    Raises
    ------
    NativeCodeError
        If the object does not define them, or needs what others define, for which LLVM would
        abort the process.
    """
    if needed := objects.needed(code):
        raise NativeCodeError(f"the compiled object needs {', '.join(needed)}")
    _initialize()
    empty = llvm.parse_assembly(f'target triple = "{target.triple}"', llvm.create_context())
    # One reservation for code and constants: 32-bit distances between them cannot overflow.
    engine = llvm.create_mcjit_compiler(empty, _machine(target), use_lmm=True)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address: int = engine.get_function_address(symbol)
    if not address:
        raise NativeCodeError(f"the compiled object does not define {symbol}")
    data: int = engine.get_global_value_address(table) if table else 0
    if table and not data:
        raise NativeCodeError(f"the compiled object does not define {table}")
    function = LoadedFunction(address, data)
    # The engine is held here alone: were it part of a cycle of garbage, Python could dispose of
    # its LLVM context first, and LLVM would fall over.
    weakref.finalize(function, engine.close).atexit = False
    return function
