"""Links an object into a shared library, by the C compiler of this machine if it has one."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from maddjit.compiler.target import Host, Target

COMPILER_VARIABLE = "CC"
"""The environment variable that names the compiler of programs for this machine."""

_OWN_COMPILERS = {"linux": ("cc", "gcc", "clang"), "macos": ("cc", "clang"), "windows": ("gcc",)}
"""Compilers to try for this machine; on Windows it is MinGW's, whose command line is alike."""
_CROSS_COMPILERS = {"linux": "{}-linux-gnu-gcc", "windows": "{}-w64-mingw32-gcc"}
"""Compilers to try for other machines, by system; the architecture takes the place of {}."""


class LinkError(RuntimeError):
    """The C compiler that was asked for by name cannot link the library."""


def words_of(command: str, on_windows: bool = os.name == "nt") -> list[str]:
    r"""Return the words of a command line; on Windows, a backslash is a letter like any other.

    Raises
    ------
    ValueError
        If its quotes do not match.

    Examples
    --------
    >>> words_of(r'"C:\My Tools\python.exe" -m ziglang cc', on_windows=True)
    ['C:\\My Tools\\python.exe', '-m', 'ziglang', 'cc']
    """
    if not on_windows:
        return shlex.split(command)
    return [word.strip('"') for word in shlex.split(command, posix=False)]


def compiler_for(target: Target, host: Host) -> list[str]:
    """Return the command of a compiler that links for a target; empty if there is none.

    Raises
    ------
    ValueError
        If the environment variable's quotes do not match.
    """
    if (target.architecture, target.system) == (host.architecture, host.system):
        own = words_of(os.environ.get(COMPILER_VARIABLE, ""))
        if own:
            return own if shutil.which(own[0]) else []
        names = _OWN_COMPILERS.get(host.system, _OWN_COMPILERS["linux"])
    else:
        cross = _CROSS_COMPILERS.get(target.system)
        names = (cross.format(target.architecture),) if cross else ()
    return next(([name] for name in names if shutil.which(name)), [])


def link(
    made_of: Path,
    library: Path,
    target: Target,
    host: Host,
    compiler: str | None = None,
    entry: str = "",
) -> str:
    """Link an object into a shared library that needs no other one.

    For Windows, `entry` names the function that is called when the library is loaded, and an import
    library is written beside the library, with the ending ``.lib``.

    Returns
    -------
    str
        Why the library could not be linked; empty if it was.

    Raises
    ------
    LinkError
        If the compiler was named by `compiler` and fails.
    """
    try:
        command = words_of(compiler) if compiler else compiler_for(target, host)
    except ValueError as error:
        if compiler:
            raise LinkError(f"{compiler} is not a command line: {error}") from error
        return f"the environment variable {COMPILER_VARIABLE} holds no command: {error}"
    if not command:
        return f"there is no C compiler that links for {target.triple}"
    flags = _flags(target.system, library, entry)
    try:
        done = subprocess.run(
            [*command, *flags, "-o", os.path.abspath(library), os.path.abspath(made_of)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        problem = done.stderr.strip() or f"exit {done.returncode}" if done.returncode else ""
    except OSError as error:
        problem = str(error)
    if problem and compiler:
        raise LinkError(f"{shlex.join(command)} does not link {made_of.name}: {problem}")
    return f"{shlex.join(command)} does not link it: {problem}" if problem else ""


def _flags(system: str, library: Path, entry: str) -> tuple[str, ...]:
    """Return the flags that link a library which knows its own name and needs no other library."""
    if system == "macos":  # its linker insists on the system's library
        return ("-shared", f"-Wl,-install_name,@rpath/{library.name}")
    if system == "windows":
        programs_link_to = os.path.abspath(library.with_suffix(".lib"))
        implied = (f"-Wl,-e,{entry}", f"-Wl,--out-implib,{programs_link_to}")
        return ("-shared", "-nostdlib", *implied)
    name = f"-Wl,-soname,{library.name}"
    return ("-shared", "-nostdlib", "-Wl,-z,noexecstack", "-Wl,-z,defs", name)
