"""Writes an operator for C: object, shared library, header, example, and a file for CMake."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.files import write_whole
from maddjit.arrays.formats import Precision
from maddjit.arrays.layout import Order, OutOrder
from maddjit.compiler import llvm
from maddjit.compiler.c_interface import Interface
from maddjit.compiler.c_planes import PlanesInterface
from maddjit.compiler.convolution import ask_convolution, check_plain
from maddjit.compiler.convolving import ConvolutionPlan
from maddjit.compiler.maddness.lists import Lists
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.network.plan import NetworkPlan
from maddjit.compiler.network.planner import plan_network
from maddjit.compiler.objects import needed
from maddjit.compiler.render import render_c, render_interface
from maddjit.compiler.request import Request, What, ask, target_of
from maddjit.compiler.signature import Choices
from maddjit.compiler.strassen_tile.plan import TilePlan
from maddjit.compiler.target import missing_features
from maddjit.exporting.linking import link
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.network import Network

_READABLE, _RUNNABLE = 0o644, 0o755
"""Permissions of files and libraries, whatever the umask: only the owner may write code."""


_USUAL = ("outputs", None, 0.999, "float32", "C", "C", None, "float32", False)
"""The options of `export` where none is given, in the order of its parameters."""


@dataclass(frozen=True)
class Exported:
    """The paths of the files of an exported operator.

    Attributes
    ----------
    name : str
        The prefix of every name that C sees.
    object, header, example, cmake : Path
        The object file, the C header, an example program in C, and a project for CMake.
    library : Path or None
        The shared library; None if it could not be linked.
    missing : str
        Why there is no library; empty if there is one.
    import_library : Path or None
        For Windows, the file that programs which use the library are linked to.
    """

    name: str
    object: Path
    header: Path
    example: Path
    cmake: Path
    library: Path | None
    missing: str = ""
    import_library: Path | None = None

    def __str__(self) -> str:
        library = str(self.library) if self.library else f"none: {self.missing}"
        if self.import_library:
            library += f"\nimports  {self.import_library}"
        return (
            f"object   {self.object}\nlibrary  {library}\nheader   {self.header}\n"
            f"example  {self.example}\ncmake    {self.cmake}"
        )


def export(
    fitted: object,
    directory: str | os.PathLike[str],
    *,
    name: str = "product",
    target: str | None = None,
    system: str | None = None,
    result: What = "outputs",
    k: int | None = None,
    coverage: float = 0.999,
    dtype: str = "float32",
    order: Order = "C",
    out_order: OutOrder = "C",
    epilogue: Epilogue | None = None,
    precision: Precision = "float32",
    residual: bool = False,
    quantise: Epilogue | None = None,
    choices: Choices | None = None,
    compiler: str | None = None,
) -> Exported:
    """Write a model's operator for programs in C, for this machine or another one.

    The header says how ``<name>_run`` is called. The function gives the bits of the compiled
    operator, needs neither Python nor a heap nor any library, and may be called from many threads.

    Parameters
    ----------
    fitted : MaddnessModel or any object with its arrays, or another kind of model
        A `StrassenTileModel`, a `Network`, or a `ConvolutionModel`. For a network, rows are images:
        all numbers of one side by side. Its options are `name`, `target`, `system` and `compiler`.
        A convolution's function takes planes (N, C, H, W) of any size that lie row by row, and has
        those options and `dtype`, `epilogue`, `quantise` and `choices`.
    directory : path
        A folder, which is made if it does not exist. Files of earlier exports are replaced.
    name : str
        The prefix of the names of files and functions.
    target : str, optional
        The feature level, as for `compile`; this machine need not be able to run it.
    system : {"linux", "macos", "windows"}, optional
        The operating system of the programs; by default this machine's.
    result, k, coverage, dtype, order, epilogue, precision, residual, quantise, choices
        As for `compile`, but `order` is "C" or "F".
    out_order : {"C", "F"}
        Whether rows or columns of outputs are contiguous.
    compiler : str, optional
        The command that links the shared library, such as ``"zig cc -target aarch64-linux-gnu"``.
        By default, for machines like this one, it is what the environment variable CC names, or
        else cc, gcc or clang (on Windows gcc, which is MinGW's). For other machines it is the cross
        compiler of GNU or MinGW.

    Returns
    -------
    Exported
        The paths of the files. Without a compiler there is no library, and programs can be linked
        to the object, which needs nothing else.

    Raises
    ------
    TargetError
        If the target or the system is unknown, or the target lacks what was asked for.
    CoverageError
        If the rows of calibration cannot vouch for the coverage.
    TypeError, ValueError
        As for `compile`, or if `name` is not a C name, or is a target of CMake's own.
    NativeCodeError
        If LLVM cannot emit the code.
    LinkError
        If the compiler was named by `compiler` and fails.
    OSError
        If the files cannot be written.

    Examples
    --------
    >>> import numpy as np, maddjit, tempfile
    >>> rng = np.random.default_rng(0)
    >>> A, B = rng.standard_normal((500, 32)), rng.standard_normal((32, 3))
    >>> model = maddjit.fit(A, B, n_codebooks=16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     exported = maddjit.export(model, folder, name="head", target="aarch64")
    ...     "#define HEAD_N_FEATURES 32" in exported.header.read_text()
    True
    """
    if isinstance(fitted, Network):
        asked = (result, k, coverage, dtype, order, out_order, epilogue, precision, residual)
        if (*asked, quantise, choices) != (*_USUAL, None, None):
            raise ValueError("a network is exported without options of products")
        plan = plan_network(fitted, target_of(target, "export", system))
        return export_plan(plan, directory, name, compiler=compiler)
    if isinstance(fitted, ConvolutionModel):
        is_usual = (result, k, coverage, precision) == ("outputs", None, 0.999, "float32")
        check_plain(is_usual and (order, out_order, residual) == ("C", "C", False))
        options: Any = {"dtype": dtype, "epilogue": epilogue, "quantise": quantise}
        planes = ask_convolution(
            fitted, target, use="export", system=system, choices=choices, **options
        )
        return export_convolution(planes.plan(), directory, name, compiler)
    if quantise is not None:
        raise ValueError("quantise is for the planes of convolutions")
    request = ask(
        fitted,
        target,
        use="export",
        system=system,
        result=result,
        k=k,
        coverage=coverage,
        dtype=dtype,
        order=order,
        out_order=out_order,
        epilogue=epilogue,
        precision=precision,
        residual=residual,
        choices=choices,
    )
    return export_request(request, directory, name, compiler)


def export_request(
    request: Request, directory: str | os.PathLike[str], name: str, compiler: str | None = None
) -> Exported:
    """Write the operator of a request; parameters and errors are those of `export`."""
    plan = request.plan()
    return export_plan(plan, directory, name, request.what, compiler, request.lists(plan))


def export_plan(
    plan: Plan | TilePlan | NetworkPlan,
    directory: str | os.PathLike[str],
    name: str,
    what: What = "outputs",
    compiler: str | None = None,
    lists: Lists | None = None,
) -> Exported:
    """Write the operator of a plan; parameters and errors are those of `export`.

    For winners, `lists` says how their kernel is called; it becomes a constant of the C function.
    """
    if isinstance(plan, NetworkPlan):
        plan = plan.for_linkers()
    else:
        plan = replace(plan, target=plan.target.for_linkers())
    return _write_all(Interface.of(name, plan, what, llvm.LLVM_VERSION, lists), directory, compiler)


def export_convolution(
    plan: ConvolutionPlan, directory: str | os.PathLike[str], name: str, compiler: str | None = None
) -> Exported:
    """Write the convolution of a plan; parameters and errors are those of `export`."""
    return _write_all(PlanesInterface.of(name, plan, llvm.LLVM_VERSION), directory, compiler)


def _write_all(
    interface: Interface | PlanesInterface, directory: str | os.PathLike[str], compiler: str | None
) -> Exported:
    """Write the files of an export, and link its library."""
    name = interface.name
    emitted, (header_text, example_text, cmake_text) = _object(interface), render_c(interface)
    folder = Path(directory)
    folder.mkdir(mode=_RUNNABLE, parents=True, exist_ok=True)
    _remove_library(interface, folder)
    code, header, example, cmake = (
        _write(folder / file, content)
        for file, content in (
            (interface.object_name, emitted),
            (f"{name}.h", header_text.encode()),
            (f"{name}_example.c", example_text.encode()),
            ("CMakeLists.txt", cmake_text.encode()),
        )
    )
    library, import_library, missing = _link(interface, code, compiler)
    return Exported(name, code, header, example, cmake, library, missing, import_library)


def _object(interface: Interface | PlanesInterface) -> bytes:
    """Return the object of a kernel and the C function around it.

    Raises
    ------
    NativeCodeError
        If LLVM cannot emit it, or the object needs functions that are not in it.
    """
    (ir, *linked), symbol = render_interface(interface), interface.plan.symbol
    target = interface.target
    apart = bool(missing_features(target, llvm.host()))
    code = (llvm.to_object_apart if apart else llvm.to_object)(ir, target, symbol, linked)
    if calls := needed(code):
        raise llvm.NativeCodeError(f"the object needs {', '.join(calls)}")
    return code


def _remove_library(interface: Interface | PlanesInterface, folder: Path) -> None:
    """Remove the library of an earlier export.

    A process that has loaded it keeps it, except on Windows, where this is an error.
    """
    library = folder / interface.library_name
    library.unlink(missing_ok=True)
    if interface.is_for_windows:
        library.with_suffix(".lib").unlink(missing_ok=True)


def _link(
    interface: Interface | PlanesInterface, code: Path, compiler: str | None
) -> tuple[Path | None, Path | None, str]:
    """Link an object into a library, in a temporary folder, and move the library beside the object.

    Returns
    -------
    (Path or None, Path or None, str)
        The library, its import library, and why there is no library.
    """
    folder = code.parent
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        linked = Path(aside, interface.library_name)
        missing = link(code, linked, interface.target, llvm.host(), compiler, interface.entry)
        if missing:
            return None, None, missing
        linked.chmod(_RUNNABLE)
        library = linked.replace(folder / linked.name)
        beside = linked.with_suffix(".lib")
        import_library = beside.replace(folder / beside.name) if beside.exists() else None
    return library, import_library, ""


def _write(path: Path, content: bytes) -> Path:
    write_whole(path, content, _READABLE)
    return path
