"""Object → shared library, by the machine's own C compiler if it has one."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from maddjit.compiler.target import Host, Target

COMPILER_VARIABLE = "CC"
"""Names the compiler of programs for this machine."""

_FLAGS = ("-shared", "-nostdlib", "-Wl,-z,noexecstack", "-Wl,-z,defs")


class LinkError(RuntimeError):
    """The C compiler that was named does not make a library of the object."""


def compiler_for(target: Target, host: Host) -> list[str]:
    """Return the command of a compiler that links for a target; empty if none is found.

    Raises
    ------
    ValueError
        If the environment variable's quotes do not match.
    """
    architecture = target.triple.partition("-")[0]
    if architecture != host.architecture:
        names = [f"{architecture}-linux-gnu-gcc"]
    else:
        own = shlex.split(os.environ.get(COMPILER_VARIABLE, ""))
        if own:
            return own if shutil.which(own[0]) else []
        names = ["cc", "gcc", "clang"]
    return next(([name] for name in names if shutil.which(name)), [])


def link(
    made_of: Path, library: Path, target: Target, host: Host, compiler: str | None = None
) -> str:
    """Link an object alone into a shared library; return why that was not possible, or nothing.

    Raises
    ------
    LinkError
        If the compiler was named and fails.
    """
    if compiler is None and not sys.platform.startswith("linux"):
        return f"libraries are not linked on {sys.platform} unless a compiler is named"
    try:
        command = shlex.split(compiler) if compiler else compiler_for(target, host)
    except ValueError as error:
        if compiler:
            raise LinkError(f"{compiler} is no command: {error}") from error
        return f"what {COMPILER_VARIABLE} holds is no command: {error}"
    if not command:
        return f"there is no C compiler that links for {target.triple}"
    name = f"-Wl,-soname,{library.name}"
    try:
        done = subprocess.run(
            [*command, *_FLAGS, name, "-o", os.path.abspath(library), os.path.abspath(made_of)],
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
