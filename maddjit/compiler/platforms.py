"""Operating systems: their triples, the files of an exported operator, and how code is loaded."""

from __future__ import annotations

from dataclasses import dataclass

_ARCHITECTURES = {"arm64": "aarch64", "arm64e": "aarch64", "amd64": "x86_64"}
"""Other names of architectures → the names that are used here."""
_LOADED_AS_ELF = "-elf"
"""The suffix of triples of code that Windows loads: LLVM's JIT links no COFF objects there."""

_STACK_PROBES = {
    "x86_64": "4c8d5424084d89d34929c34981ea001000004d39da7605418402ebef418403c3",
    "aarch64": "f003009111120fcb100640d11f0211eb690000541f024039fcffff173f024039c0035fd6",
}
"""Code of the stack probe in hexadecimal, by architecture; its template lists it as assembly."""


@dataclass(frozen=True)
class System:
    """An operating system, and what it calls the files of an exported operator.

    Attributes
    ----------
    name : str
        Its name in this package.
    triples : dict of str to str
        Architecture → the triple of its objects.
    object_suffix : str
        The end of an object's file name.
    library_prefix, library_suffix : str
        The beginning and the end of a shared library's file name.
    """

    name: str
    triples: dict[str, str]
    object_suffix: str
    library_prefix: str
    library_suffix: str

    def library_name(self, name: str) -> str:
        """Return the file name of the shared library that is called `name`."""
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
        # Windows has two environments, gnu and msvc. Objects for msvc refer to _fltused, which a C
        # library defines. Calls are the same in both, and every linker takes objects of both.
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
"""(system, architecture) → how its code is verified; docs/platforms.md says more."""


def verified(triple: str) -> str:
    """Return in a few words how the code for a triple's platform was verified.

    On Linux only systems with glibc were tried, none with another C library such as musl.

    >>> verified("aarch64-unknown-linux-gnu"), verified("x86_64-alpine-linux-musl")
    ('run under emulation', 'never tried')
    """
    system, architecture = system_of(triple), architecture_of(triple)
    is_other_linux = system == "linux" and "gnu" not in triple
    if system not in SYSTEMS or architecture not in SYSTEMS[system].triples or is_other_linux:
        return "never tried"
    return _VERIFIED.get((system, architecture), _NOT_RUN)


def architecture_of(triple: str) -> str:
    """Return a triple's architecture: ``"x86_64"``, ``"aarch64"``, or the triple's own word.

    >>> architecture_of("arm64-apple-darwin23.1.0")
    'aarch64'
    """
    first = triple.partition("-")[0]
    return _ARCHITECTURES.get(first, first)


def system_of(triple: str) -> str:
    """Return a triple's system: ``"linux"``, ``"macos"``, ``"windows"``, or the triple's own word.

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
    """Return the system of a triple; Linux stands in for one that is not listed."""
    return SYSTEMS.get(system_of(triple), SYSTEMS["linux"])


def loaded_triple(triple: str) -> str:
    """Return the triple of code that LLVM's JIT can load into a process of this triple.

    The operating system decides the calling convention, whatever the format of the object.

    >>> loaded_triple("x86_64-pc-windows-msvc"), loaded_triple("x86_64-unknown-linux-gnu")
    ('x86_64-pc-windows-msvc-elf', 'x86_64-unknown-linux-gnu')
    """
    if system_of(triple) == "windows" and not triple.endswith(_LOADED_AS_ELF):
        return triple + _LOADED_AS_ELF
    return triple


def linked_triple(triple: str, system: str | None = None) -> str:
    """Return the triple of objects that linkers take, for the triple's own system or another.

    The triple of a system that is not listed is returned unchanged.

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
    """Return the name and the machine code of the function that probes the stack on Windows.

    LLVM calls it at the beginning of functions with large stack frames, and finds it in the object
    itself. None if the system of the triple does not need it.
    """
    architecture = architecture_of(triple)
    if system_of(triple) != "windows" or architecture not in _STACK_PROBES:
        return None
    is_gnu = architecture == "x86_64" and "gnu" in triple.split("-")
    return "___chkstk_ms" if is_gnu else "__chkstk", bytes.fromhex(_STACK_PROBES[architecture])


@dataclass(frozen=True)
class Host:
    """What LLVM and the operating system grant on this machine."""

    triple: str
    cpu: str
    features: frozenset[str]
    cache_bytes: int

    @property
    def architecture(self) -> str:
        """The architecture, such as ``x86_64``; ``arm64`` is called ``aarch64``."""
        return architecture_of(self.triple)

    @property
    def system(self) -> str:
        """The operating system, such as ``linux``."""
        return system_of(self.triple)
