"""What a CPU can do: feature levels, the choice among them, and which intrinsics are legal."""

from __future__ import annotations

from dataclasses import dataclass, replace

from maddjit.compiler.platforms import architecture_of, linked_triple, loaded_triple, system_of

ENVIRONMENT_VARIABLE = "MADDJIT_TARGET"
"""Chooses the level when `maddjit.compile` is called without ``target=``."""


BFLOAT16 = "avx512bf16"
"""The feature of products of bfloat16 pairs, summed in float32."""


class TargetError(ValueError):
    """A target is unknown, or the CPU lacks a feature that it needs."""


@dataclass(frozen=True)
class Host:
    """What LLVM and the operating system grant on this machine."""

    triple: str
    cpu: str
    features: frozenset[str]
    cache_bytes: int

    @property
    def architecture(self) -> str:
        """Such as ``x86_64``; ``arm64`` is ``aarch64``."""
        return architecture_of(self.triple)

    @property
    def system(self) -> str:
        """The operating system, such as ``linux``."""
        return system_of(self.triple)


@dataclass(frozen=True)
class Target:
    """A feature level to generate code for.

    Attributes
    ----------
    name : str
        Level, in the words of the x86-64 psABI where it has one.
    triple, cpu, features : str
        As LLVM takes them.
    tune : str
        CPU whose scheduling model orders the instructions; it never changes what is legal.
    requires : frozenset of str
        Features that a machine must have to run the code.
    vector_bytes : int
        Width of one vector register.
    intrinsics : tuple of str
        The only functions that generated code may declare.
    cache_bytes : int
        Size of the last-level cache.
    """

    name: str
    triple: str
    cpu: str
    features: str
    tune: str
    requires: frozenset[str]
    vector_bytes: int
    intrinsics: tuple[str, ...]
    cache_bytes: int = 32 * 1024 * 1024

    @property
    def architecture(self) -> str:
        """Such as ``x86_64``; ``arm64`` is ``aarch64``."""
        return architecture_of(self.triple)

    @property
    def system(self) -> str:
        """The operating system, such as ``linux``."""
        return system_of(self.triple)

    def for_linkers(self, system: str | None = None) -> Target:
        """Return this level for objects that the linkers of its own or another system take.

        Raises
        ------
        TargetError
            If there is no such system, or it is not known on that architecture.
        """
        try:
            return replace(self, triple=linked_triple(self.triple, system))
        except ValueError as error:
            raise TargetError(str(error)) from error

    def with_bfloat16(self) -> Target:
        """Return this level with products of bfloat16 pairs, which levels do not promise.

        Raises
        ------
        TargetError
            If no CPU of this level has them.
        """
        if self.vector_bytes != 64:
            raise TargetError(f"no target {self.name!r} has {BFLOAT16}: take an AVX-512 one")
        return replace(
            self,
            features=",".join(filter(None, (self.features, f"+{BFLOAT16}"))),
            requires=self.requires | {BFLOAT16},
            intrinsics=(*self.intrinsics, "llvm.x86.avx512bf16.dpbf16ps.512"),
        )

    @property
    def n_registers(self) -> int:
        """Vector registers."""
        return 32 if self.vector_bytes == 64 or self.name == "aarch64" else 16


_GENERIC = (
    "llvm.prefetch.p0",
    *(f"llvm.vector.reduce.fmax.v{lanes}f32" for lanes in (2, 4, 8, 16, 32, 64)),
    *(f"llvm.vector.reduce.umax.v{lanes}i8" for lanes in (2, 4, 8, 16, 32, 64)),
    *(f"llvm.vector.reduce.umax.v{lanes}i16" for lanes in (2, 4, 8, 16, 32, 64)),
    "llvm.ctpop.i64",
    "llvm.fmuladd.v16f32",
    "llvm.sqrt.f32",
    *(f"llvm.cttz.i{lanes}" for lanes in (2, 4, 8, 16, 32, 64)),
    *(f"llvm.fma.v{lanes}f32" for lanes in (4, 8, 16)),
    *(f"llvm.masked.gather.v{lanes}f32.v{lanes}p0" for lanes in (4, 8, 16)),
)
_AVX2 = ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")
_AVX2_SHUFFLES = (
    "llvm.x86.avx.vpermilvar.ps.256",
    "llvm.x86.avx2.permps",
    "llvm.x86.avx2.pshuf.b",
)
_AVX512 = (*_AVX2, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "prfchw")
_AVX512_SHUFFLES = (
    *_AVX2_SHUFFLES,
    "llvm.x86.avx512.vpermilvar.ps.512",
    "llvm.x86.avx512.permvar.sf.512",
    "llvm.x86.avx512.vpermi2var.ps.512",
    "llvm.x86.avx512.pshuf.b.512",
)
_VBMI_SHUFFLES = (
    *_AVX512_SHUFFLES,
    "llvm.x86.avx512.permvar.qi.512",
    "llvm.x86.avx512.vpermi2var.qi.512",
    "llvm.x86.avx512.vpdpbusd.512",
)
_LINUX_X86 = "x86_64-unknown-linux-gnu"

_LEVELS = {
    target.name: target
    for target in (
        Target("x86-64", _LINUX_X86, "x86-64", "", "generic", frozenset(), 16, _GENERIC),
        Target(
            "x86-64-v3",
            _LINUX_X86,
            "x86-64-v3",
            "",
            "haswell",
            frozenset(_AVX2),
            32,
            _GENERIC + _AVX2_SHUFFLES,
        ),
        Target(
            "x86-64-v4",
            _LINUX_X86,
            "x86-64-v4",
            "+prfchw",
            "skylake-avx512",
            frozenset(_AVX512),
            64,
            _GENERIC + _AVX512_SHUFFLES,
        ),
        Target(
            "x86-64-v4-vbmi",
            _LINUX_X86,
            "x86-64-v4",
            "+prfchw,+avx512vbmi,+avx512vnni",
            "icelake-server",
            frozenset((*_AVX512, "avx512vbmi", "avx512vnni")),
            64,
            _GENERIC + _VBMI_SHUFFLES,
        ),
        Target(
            "aarch64",
            "aarch64-unknown-linux-gnu",
            "generic",
            "",
            "generic",
            frozenset(),
            16,
            (*_GENERIC, "llvm.aarch64.neon.tbl1.v16i8"),
        ),
    )
}

LEVELS = tuple(_LEVELS)
"""Names of all feature levels, the weakest of an architecture first."""


def named(name: str) -> Target:
    """Return the feature level of that name, whether or not this machine can run it.

    Raises
    ------
    TargetError
        If there is none of that name.
    """
    if name not in _LEVELS:
        raise TargetError(f"unknown target {name!r}; the targets are {', '.join(LEVELS)}")
    return _LEVELS[name]


def missing_features(target: Target, host: Host) -> list[str]:
    """Return what `host` lacks to run code for `target`; empty if it can."""
    if target.architecture != host.architecture:
        return [target.architecture]
    return sorted(target.requires - host.features)


def runnable(host: Host) -> list[Target]:
    """Return the levels that `host` can run, the weakest first."""
    return [target for target in _LEVELS.values() if not missing_features(target, host)]


def resolve(name: str | None, host: Host) -> Target:
    """Return the level called `name`, or the best one that `host` can run.

    The code is scheduled for the host's own CPU, and built for its operating system.

    Raises
    ------
    TargetError
        If there is no such level or the host lacks a feature that it requires.
    """
    if name is None or name == "host":
        levels = runnable(host)
        if not levels:
            raise TargetError(f"no target for {host.triple}; the targets are {', '.join(LEVELS)}")
        chosen = levels[-1]
    else:
        chosen = named(name)
        missing = missing_features(chosen, host)
        if missing:
            raise TargetError(
                f"target {name!r} needs {', '.join(missing)}, which this machine ({host.cpu}) "
                f"lacks; it can run {', '.join(level.name for level in runnable(host))}. "
                "maddjit.emit() shows the code for any target without running it."
            )
    triple = loaded_triple(host.triple)
    return replace(chosen, triple=triple, tune=host.cpu, cache_bytes=host.cache_bytes)
