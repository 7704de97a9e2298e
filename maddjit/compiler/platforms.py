"""Operating systems: what their triples say, which files they link, how code is loaded on them."""

from __future__ import annotations

from dataclasses import dataclass

_ARCHITECTURES = {"arm64": "aarch64", "arm64e": "aarch64", "amd64": "x86_64"}
"""Other names of an architecture, by the one that is used here."""
_LOADED_AS_ELF = "-elf"
"""Ends the triple of code that is loaded on Windows: LLVM's JIT links no COFF objects there."""

_STACK_PROBES = {
    "x86_64": "4c8d5424084d89d34929c34981ea001000004d39da7605418402ebef418403c3",
    "aarch64": "f003009111120fcb100640d11f0211eb690000541f024039fcffff173f024039c0035fd6",
}
"""Machine code, in hexadecimal; the template that it is put into has it as assembly."""


@dataclass(frozen=True)
class System:
    """What an operating system calls the files of an exported operator.

    Attributes
    ----------
    name : str
    triples : dict
        Of its objects, by architecture.
    object_suffix : str
    library_prefix, library_suffix : str
        Before and behind a shared library's name.
    """

    name: str
    triples: dict[str, str]
    object_suffix: str
    library_prefix: str
    library_suffix: str

    def library_name(self, name: str) -> str:
        """Return what the shared library of that name is called."""
        return f"{self.library_prefix}{name}{self.library_suffix}"


SYSTEMS = {
    system.name: system
    for system in (
        System(
            "linux",
            {"x86_64": "x86_64-unknown-linux-gnu", "aarch64": "aarch64-unknown-linux-gnu"},
            ".o",
            "lib",
            ".so",
        ),
        System(
            "macos",
            {"x86_64": "x86_64-apple-macosx10.13.0", "aarch64": "arm64-apple-macosx11.0.0"},
            ".o",
            "lib",
            ".dylib",
        ),
        # Of the two environments of Windows the one whose objects need no symbol of a C library:
        # those of the other refer to _fltused. Calls are the same, and every linker takes both.
        System(
            "windows",
            {"x86_64": "x86_64-pc-windows-gnu", "aarch64": "aarch64-pc-windows-gnu"},
            ".obj",
            "",
            ".dll",
        ),
    )
}
"""The systems that operators are exported for."""

_NOT_RUN = "built for, not run"
_VERIFIED = {
    ("linux", "x86_64"): "the test suite runs on it",
    ("linux", "aarch64"): "run under emulation",
    ("macos", "x86_64"): f"{_NOT_RUN}: its objects are loaded and run on Linux",
    ("macos", "aarch64"): f"{_NOT_RUN}: its objects are loaded and run on emulated Linux",
    ("windows", "x86_64"): f"{_NOT_RUN}: its objects and libraries are loaded and run under Wine",
}
"""How the code for a platform is verified; docs/platforms.md says more."""


def verified(triple: str) -> str:
    """Return how the code for a triple's platform was verified, in a few words.

    Linux is that of glibc: with other C libraries, such as musl, nothing was tried.

    >>> verified("aarch64-unknown-linux-gnu"), verified("x86_64-alpine-linux-musl")
    ('run under emulation', 'never tried')
    """
    system, architecture = system_of(triple), architecture_of(triple)
    is_other_linux = system == "linux" and "gnu" not in triple
    if system not in SYSTEMS or architecture not in SYSTEMS[system].triples or is_other_linux:
        return "never tried"
    return _VERIFIED.get((system, architecture), _NOT_RUN)


def architecture_of(triple: str) -> str:
    """Return a triple's architecture: ``"x86_64"``, ``"aarch64"``, or what it says of another.

    >>> architecture_of("arm64-apple-darwin23.1.0")
    'aarch64'
    """
    first = triple.partition("-")[0]
    return _ARCHITECTURES.get(first, first)


def system_of(triple: str) -> str:
    """Return a triple's operating system: ``"linux"``, ``"macos"``, ``"windows"``, or its own word.

    >>> system_of("x86_64-pc-windows-msvc-elf"), system_of("arm64-apple-darwin23.1.0")
    ('windows', 'macos')
    """
    for part in triple.split("-")[1:]:
        if part.startswith("linux"):
            return "linux"
        if part.startswith(("darwin", "macos")):
            return "macos"
        if part.startswith(("windows", "win32", "cygwin", "mingw")):
            return "windows"
    return (triple.split("-")[2:] or ["unknown"])[0]


def files_of(triple: str) -> System:
    """Return what the files of a triple's system are called; as on Linux if it is not listed."""
    return SYSTEMS.get(system_of(triple), SYSTEMS["linux"])


def loaded_triple(triple: str) -> str:
    """Return the triple of code that LLVM's JIT can load into a process of this triple.

    The calling convention is that of the operating system, whatever the format of the object.

    >>> loaded_triple("x86_64-pc-windows-msvc"), loaded_triple("x86_64-unknown-linux-gnu")
    ('x86_64-pc-windows-msvc-elf', 'x86_64-unknown-linux-gnu')
    """
    if system_of(triple) == "windows" and not triple.endswith(_LOADED_AS_ELF):
        return triple + _LOADED_AS_ELF
    return triple


def linked_triple(triple: str, system: str | None = None) -> str:
    """Return the triple of objects that linkers take, for the triple's own system or another.

    That of a system that is not listed stays as it is.

    Raises
    ------
    ValueError
        If there is no such system, or it is not known on that architecture.
    """
    if system is not None and system not in SYSTEMS:
        raise ValueError(f"system must be one of {', '.join(SYSTEMS)}, not {system!r}")
    own = system_of(triple)
    wanted = system or own
    if wanted == own and own not in ("macos", "windows"):
        return triple
    architecture = architecture_of(triple)
    if architecture not in SYSTEMS[wanted].triples:
        raise ValueError(f"nothing is exported for {wanted} on {architecture}")
    return SYSTEMS[wanted].triples[architecture]


def stack_probe(triple: str) -> tuple[str, bytes] | None:
    """Return the name and the machine code of what Windows must have called before large frames.

    LLVM's calls of it are resolved inside of the object. None if there are no such calls.
    """
    architecture = architecture_of(triple)
    if system_of(triple) != "windows" or architecture not in _STACK_PROBES:
        return None
    is_gnu = architecture == "x86_64" and "gnu" in triple.split("-")
    return "___chkstk_ms" if is_gnu else "__chkstk", bytes.fromhex(_STACK_PROBES[architecture])
