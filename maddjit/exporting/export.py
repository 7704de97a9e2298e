"""An operator for C: its object, shared library, header, an example, and a file for CMake."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.files import write_whole
from maddjit.arrays.layout import Order, OutOrder
from maddjit.compiler import llvm
from maddjit.compiler.c_interface import Interface
from maddjit.compiler.maddness.lists import Lists
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.objects import needed
from maddjit.compiler.render import render_c, render_interface
from maddjit.compiler.request import Request, What, ask
from maddjit.compiler.signature import Choices, Precision
from maddjit.compiler.strassen_tile.plan import TilePlan
from maddjit.compiler.target import missing_features
from maddjit.exporting.linking import link

_FOR_ALL, _TO_RUN = 0o644, 0o755
"""Whom files are for: whatever the umask, nobody else may write what is going to be loaded."""


@dataclass(frozen=True)
class Exported:
    """Where the parts of an exported operator are.

    Attributes
    ----------
    name : str
        What all that C sees begins with.
    object, header, example, cmake : Path
    library : Path or None
        None if it could not be linked: `missing` says why.
    missing : str
    import_library : Path or None
        For Windows, what programs that use the library are linked to.
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
    choices: Choices | None = None,
    compiler: str | None = None,
) -> Exported:
    """Write a model's operator for programs in C, for this machine or another target.

    The header says how ``<name>_run`` is called. It has the bits of the compiled operator, needs
    neither Python nor a heap nor any library, and may be called from many threads.

    Parameters
    ----------
    fitted : MaddnessModel or any object with its arrays, or StrassenTileModel
    directory : path
        Made if it is not there; files of earlier exports are replaced.
    name : str
        What the names of files and functions begin with.
    target : str, optional
        As for `compile`, but this machine may lack it.
    system : {"linux", "macos", "windows"}, optional
        The operating system of the programs; by default this machine's.
    result, k, coverage, dtype, order, epilogue, precision, residual, choices
        As for `compile`; `order` is "C" or "F".
    out_order : {"C", "F"}
        Whether rows or columns of outputs are contiguous.
    compiler : str, optional
        The command that links the shared library, such as
        ``"zig cc -target aarch64-linux-gnu"``. By default, for this kind of machine what the
        environment variable CC names, else cc, gcc or clang (on Windows gcc, which is MinGW's);
        for another one the cross compiler of GNU or MinGW.

    Returns
    -------
    Exported
        The paths. Without a compiler there is no library, and the object is all that is needed.

    Raises
    ------
    TargetError
        If the target or the system is unknown, or the target lacks what was asked for.
    TypeError, ValueError
        As for `compile`, or if `name` is no C name or one that CMake takes for itself.
    NativeCodeError
        If LLVM cannot emit the code.
    LinkError
        If the compiler was named and fails.
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
    request = ask(
        fitted,
        target,
        "export",
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
    plan: Plan | TilePlan,
    directory: str | os.PathLike[str],
    name: str,
    what: What = "outputs",
    compiler: str | None = None,
    lists: Lists | None = None,
) -> Exported:
    """Write the operator of a plan; parameters and errors are those of `export`.

    For winners `lists` says how their kernel is called: C has no say in it.
    """
    plan = replace(plan, target=plan.target.for_linkers())
    interface = Interface.of(name, plan, what, llvm.LLVM_VERSION, lists)
    ir, symbol, host = render_interface(interface), interface.plan.symbol, llvm.host()
    apart = bool(missing_features(plan.target, host))
    emitted = (llvm.to_object_apart if apart else llvm.to_object)(ir, plan.target, symbol)
    if calls := needed(emitted):
        raise llvm.NativeCodeError(f"the object needs {', '.join(calls)}")
    folder = Path(directory)
    folder.mkdir(mode=_TO_RUN, parents=True, exist_ok=True)
    library = folder / interface.library_name
    library.unlink(missing_ok=True)  # who has it loaded keeps it; on Windows that is an error
    if interface.is_for_windows:
        library.with_suffix(".lib").unlink(missing_ok=True)
    texts = render_c(interface)
    code, header, example, cmake = (
        _write(folder / file, content)
        for file, content in (
            (interface.object_name, emitted),
            (f"{name}.h", texts["header.h"].encode()),
            (f"{name}_example.c", texts["example.c"].encode()),
            ("CMakeLists.txt", texts["CMakeLists.txt"].encode()),
        )
    )
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        linked = Path(aside, library.name)
        missing = link(code, linked, plan.target, host, compiler, interface.entry)
        if not missing:
            linked.chmod(_TO_RUN)
            linked.replace(library)
        beside = linked.with_suffix(".lib")
        imported = beside.replace(folder / beside.name) if beside.exists() else None
    found = None if missing else library
    return Exported(name, code, header, example, cmake, found, missing, imported)


def _write(path: Path, content: bytes) -> Path:
    write_whole(path, content, _FOR_ALL)
    return path
