"""Targets: feature levels, every fact about their CPUs, and the choice of a level for a machine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from maddjit.compiler import intrinsics
from maddjit.compiler.intrinsics import Lookups, WholeNumbers, Words
from maddjit.compiler.platforms import Host as Host
from maddjit.compiler.platforms import architecture_of, linked_triple, loaded_triple, system_of

ENVIRONMENT_VARIABLE = "MADDJIT_TARGET"
"""The environment variable that chooses the level if `maddjit.compile` gets no ``target=``."""

BFLOAT16 = "avx512bf16"
"""The feature of products of bfloat16 pairs, summed in float32. No level promises it."""


class TargetError(ValueError):
    """A target is unknown, or the CPU lacks a feature that it needs."""


@dataclass(frozen=True)
class Target:
    """A feature level to generate code for, and every fact about its CPUs that a plan needs.

    No other module asks for a target's name or concludes from `requires` what a CPU can do. An
    instruction is named by LLVM's intrinsic; the name is empty where the level lacks it.

    Attributes
    ----------
    name : str
        The level, in the words of the x86-64 psABI if it has any.
    triple, cpu, features : str
        The platform, the CPU and the further features, as LLVM takes them.
    tune : str
        The CPU whose scheduling model orders the instructions. It never changes what is legal.
    requires : frozenset of str
        Features that a machine must have to run the code.
    intrinsics : tuple of str
        The only functions that generated code may declare.
    vector_bytes, n_registers : int
        Width of a vector register, and the number of them.
    index_scale : int
        The largest factor of an index in the address of a vector that an instruction adds straight
        from memory; 0 if vectors must be loaded first.
    fuses : bool
        Whether a product and a sum that are rounded once are one instruction.
    converts_half : bool
        Whether float16 and float32 are converted by an instruction; LLVM would call a library.
    has_masks : bool
        Whether comparisons leave masks, which select lanes of vectors in one instruction.
    paired_bytes : tuple of int
        Sizes of elements of which one instruction shuffles two whole vectors.
    permutes : tuple of (int, str)
        Look-ups of float32 numbers: the entries of a table in registers, and the instruction.
    byte_shuffles : tuple of (int, str)
        Look-ups of bytes: the entries of a table in registers, and the instruction.
    byte_products : str
        The instruction that multiplies bytes and sums four products in 32 bits, for 64 bytes.
    bfloat16_products : str
        The instruction that multiplies bfloat16 numbers and sums two products in float32.
    may_have_bfloat16 : bool
        Whether `with_bfloat16` can promise that: some CPUs of the level have it.
    cache_bytes : int
        Size of the last cache.
    """

    name: str
    triple: str
    cpu: str
    features: str
    tune: str
    requires: frozenset[str]
    intrinsics: tuple[str, ...]
    vector_bytes: int
    n_registers: int
    index_scale: int
    fuses: bool = False
    converts_half: bool = False
    has_masks: bool = False
    paired_bytes: tuple[int, ...] = ()
    permutes: Lookups = ()
    byte_shuffles: Lookups = ()
    byte_products: str = ""
    bfloat16_products: str = ""
    may_have_bfloat16: bool = False
    cache_bytes: int = 32 * 1024 * 1024

    @property
    def lanes(self) -> int:
        """Numbers of float32 in one vector register."""
        return self.vector_bytes // 4

    @property
    def vector_bits(self) -> int:
        """Width of one vector register in bits."""
        return 8 * self.vector_bytes

    @property
    def architecture(self) -> str:
        """The architecture, such as ``x86_64``; ``arm64`` is called ``aarch64``."""
        return architecture_of(self.triple)

    @property
    def system(self) -> str:
        """The operating system, such as ``linux``."""
        return system_of(self.triple)

    def permute(self, entries: int) -> str:
        """Return the instruction that looks float32 numbers up in a table; empty if there is none.

        A table of more entries than a vector has lanes takes two registers.
        """
        return dict(self.permutes).get(entries, "")

    def masked_load(self, lanes: int, itemsize: int) -> str:
        """Return the instruction that reads some of so many elements; empty if there is none."""
        name = intrinsics.MASKED_LOADS.get(self.vector_bytes, {}).get((lanes, itemsize), "")
        return name if name in self.intrinsics else ""

    @property
    def packs(self) -> tuple[str, str] | None:
        """The instructions that narrow two vectors to one: from 32 bits to 16, and from 16 to 8."""
        names = intrinsics.PACKS[self.vector_bytes]
        return names if set(names) <= set(self.intrinsics) else None

    @property
    def words(self) -> Words | None:
        """The instructions that multiply and pack words; None if there are none."""
        return intrinsics.granted(intrinsics.WORDS[self.vector_bytes], self.intrinsics)

    @property
    def whole_numbers(self) -> WholeNumbers | None:
        """Instructions that multiply, round and pack whole numbers; None if there are none."""
        return intrinsics.granted(intrinsics.WHOLE_NUMBERS[self.vector_bytes], self.intrinsics)

    @property
    def byte_pairs(self) -> str:
        """The instruction that multiplies bytes and sums two products in 16 bits, clipped."""
        name = intrinsics.BYTE_PAIRS.get(self.vector_bytes, "")
        return name if name in self.intrinsics else ""

    @property
    def least_word(self) -> str:
        """The instruction that finds the least of eight words without signs."""
        return intrinsics.LEAST_WORD if intrinsics.LEAST_WORD in self.intrinsics else ""

    def byte_shuffle(self, entries: int) -> str:
        """Return the instruction that looks bytes up in a table; empty if there is none."""
        return dict(self.byte_shuffles).get(entries, "")

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
        if not self.may_have_bfloat16:
            raise TargetError(f"no target {self.name!r} has {BFLOAT16}: take an AVX-512 one")
        return replace(
            self,
            features=",".join(filter(None, (self.features, f"+{BFLOAT16}"))),
            requires=self.requires | {BFLOAT16},
            intrinsics=(*self.intrinsics, intrinsics.BFLOAT16_PRODUCTS),
            bfloat16_products=intrinsics.BFLOAT16_PRODUCTS,
        )


# The levels. Each one is a weaker level and what it adds.
_AVX2 = frozenset({"avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"})
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "prfchw"})
_VBMI = frozenset({"avx512vbmi", "avx512vnni"})

_X86_64 = Target(
    name="x86-64",
    triple="x86_64-unknown-linux-gnu",
    cpu="x86-64",
    features="",
    tune="generic",
    requires=frozenset(),
    intrinsics=intrinsics.GENERIC + intrinsics.rows_of(16),
    vector_bytes=16,
    n_registers=16,
    index_scale=8,
)
_X86_64_V3 = replace(
    _X86_64,
    name="x86-64-v3",
    cpu="x86-64-v3",
    features="+prfchw",  # not required: CPUs of the level that lack it do nothing instead
    tune="haswell",
    requires=_AVX2,
    intrinsics=_X86_64.intrinsics
    + intrinsics.rows_of(32)
    + intrinsics.names_of(intrinsics.AVX2_PERMUTES, intrinsics.AVX2_BYTE_SHUFFLES)
    + (intrinsics.BYTE_PAIRS[32], intrinsics.LEAST_WORD),
    vector_bytes=32,
    fuses=True,
    converts_half=True,
    permutes=intrinsics.AVX2_PERMUTES,
    byte_shuffles=intrinsics.AVX2_BYTE_SHUFFLES,
)
_X86_64_V4 = replace(
    _X86_64_V3,
    name="x86-64-v4",
    cpu="x86-64-v4",
    features="+prfchw",
    tune="skylake-avx512",
    requires=_X86_64_V3.requires | _AVX512,
    intrinsics=_X86_64_V3.intrinsics
    + intrinsics.rows_of(64)
    + intrinsics.names_of(intrinsics.AVX512_PERMUTES, intrinsics.AVX512_BYTE_SHUFFLES)
    + (intrinsics.BYTE_PAIRS[64],),
    vector_bytes=64,
    n_registers=32,
    has_masks=True,
    paired_bytes=(2, 4),
    permutes=intrinsics.AVX512_PERMUTES,
    byte_shuffles=intrinsics.AVX512_BYTE_SHUFFLES,
    may_have_bfloat16=True,
)
_X86_64_V4_VBMI = replace(
    _X86_64_V4,
    name="x86-64-v4-vbmi",
    features="+prfchw,+avx512vbmi,+avx512vnni",
    tune="icelake-server",
    requires=_X86_64_V4.requires | _VBMI,
    intrinsics=(
        *_X86_64_V3.intrinsics,
        *intrinsics.rows_of(64),
        *intrinsics.names_of(intrinsics.AVX512_PERMUTES, intrinsics.VBMI_BYTE_SHUFFLES),
        intrinsics.AVX512_VNNI_BYTE_PRODUCTS,
    ),
    byte_shuffles=intrinsics.VBMI_BYTE_SHUFFLES,
    byte_products=intrinsics.AVX512_VNNI_BYTE_PRODUCTS,
)
_AARCH64 = replace(
    _X86_64,
    name="aarch64",
    triple="aarch64-unknown-linux-gnu",
    cpu="generic",
    intrinsics=intrinsics.GENERIC + intrinsics.NEON,
    n_registers=32,
    index_scale=0,
    fuses=True,
    converts_half=True,
    byte_shuffles=intrinsics.NEON_BYTE_SHUFFLES,
)

_LEVELS = {
    level.name: level for level in (_X86_64, _X86_64_V3, _X86_64_V4, _X86_64_V4_VBMI, _AARCH64)
}

LEVELS = tuple(_LEVELS)
"""Names of all feature levels, the weakest of an architecture first."""


def named(name: str) -> Target:
    """Return the feature level of that name, whether or not this machine can run it.

    Raises
    ------
    TargetError
        If there is no level of that name.
    """
    if name not in _LEVELS:
        raise TargetError(f"unknown target {name!r}; the targets are {', '.join(LEVELS)}")
    return _LEVELS[name]


def missing_features(target: Target, host: Host) -> list[str]:
    """Return the features that `host` lacks to run code for `target`; empty if it can run it."""
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
