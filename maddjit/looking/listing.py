"""Assembly for readers: cut into stages, with instructions counted and the largest loop marked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from maddjit.compiler import llvm
from maddjit.compiler.platforms import SYSTEMS
from maddjit.compiler.target import Target
from maddjit.looking.stages import with_stages

CONSTANTS, KERNEL = "constants", "kernel"
"""The name of sections without code, and of the stage that calls all others."""

# How lines of assembly are told apart, on x86-64 and aarch64.

_NOISE = re.compile(r"\s*\.(loc|file|cfi_\w+|addrsig\w*|ident)\b|\.L(tmp|func_begin)\d+:")
_LOCATION = re.compile(r"\s*\.loc\s+\d+\s+(\d+)")
_INSTRUCTION = re.compile(r"\s+(?P<name>[a-z][\w.]*)(?P<operands>.*)")
_LABEL = re.compile(r"(\.L[\w.$]+):")
_JUMP = re.compile(r"\s+(?:j\w+|b(?:\.\w+)?|cbn?z|tbn?z)\s+(?:.*,\s*)?(\.L[\w.$]+)\s*$")
_VECTOR = re.compile(r"%[xyz]mm\d|%k\d|\b[vq]\d+\b|\b[sd]\d+\b")
_STORE = re.compile(r",\s*[^,]*\([^()]*\)(\s*\{%k\d\})?\s*$")

_CLASSES = (
    ("prefetches", r"prefetch|prfm"),
    ("gathers", r"v?p?gather"),
    ("multiply-adds", r"vfn?m(add|sub)|vpdp|vdpbf16|v?pmadd|fml[as]|fn?m(add|sub)|ml[as]|[us]dot"),
    ("shuffles", r"v?perm|v?p?shuf|v?p?unpck|v?palign|valign|v?p?(insert|extract)|v?p?broadcast"),
    (
        "shuffles",
        r"v?pack|tb[lx]|zip|uzp|trn|ext|dup|ins|v?movs?[hld]dup|v?mov[hl][lh]?p|v?ps[lr]ldq",
    ),
    ("selects", r"v?p?blend|bsl|bi[tf]\b|f?csel"),
    (
        "compares",
        r"v?p?cmp|v?u?comis|v?ptest|fc?m[gl]|cm[ghlte]|fcmp|v?(ph?)?(min|max)|f?(min|max)",
    ),
    ("multiplies", r"v?p?f?mul"),
    ("adds", r"v?p?(add|sub|avg|h?adds?)|v?p?sad|f?(add|sub)|[us]add|[us]rhadd|[us]sub|[us]r?sra"),
    ("conversions", r"v?cvt|fcvt|[us]cvtf|v?pmov[sz]x|vpmov|vrndscale|frint|[us]?xtn|[us]shll"),
    ("moves", r"v?mov|kmov|fmov|mov|ld[prn1-4u]|ld\d|st[prn1-4u]|v?ld"),
    (
        "logic",
        r"v?p?(and|or|xor|ternlog)|v?ps[lr][lra]|k\w+|and|orr|eor|shl|[us]shr|v?test|bic|mvn",
    ),
)
"""The classes of instructions by how their names begin; the first class that fits counts."""
_PATTERNS = tuple((name, re.compile(pattern)) for name, pattern in _CLASSES)


@dataclass(frozen=True)
class Section:
    """Neighbouring lines of one stage.

    Attributes
    ----------
    stage : str
        The function of the templates that the lines come from, or `CONSTANTS`.
    lines : tuple of str
        The lines of assembly.
    """

    stage: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Loop:
    """An innermost loop.

    Attributes
    ----------
    stage, label : str
        The stage that most of its instructions come from, and the label that it jumps back to.
    n_instructions : int
        How many instructions are between the label and the jump, the jump included.
    """

    stage: str
    label: str
    n_instructions: int


@dataclass(frozen=True)
class Listing:
    """The assembly of one kernel; made by `annotated`.

    Attributes
    ----------
    sections : tuple of Section
        In the order of the code. A stage may come back where LLVM has mixed it with others.
    counts : mapping of str to mapping of str to int
        For each stage, how many instructions of each class it has. "folded loads" are instructions
        that also read memory; they are counted a second time by what they do.
    largest : Loop or None
        The innermost loop with the most instructions.
    comment : str
        The sign that starts a comment.
    """

    sections: tuple[Section, ...]
    counts: Mapping[str, Mapping[str, int]]
    largest: Loop | None
    comment: str

    def text(self, with_constants: bool = False) -> str:
        """Return the assembly as text, with a heading for each section."""
        lines: list[str] = []
        told: set[str] = set()
        for section in self.sections:
            if section.stage == CONSTANTS:
                if with_constants:
                    lines += [self._heading(CONSTANTS), *section.lines]
                else:
                    n_lines = f"{len(section.lines)} lines of constants are left out"
                    lines.append(f"{self.comment} … {n_lines}")
                continue
            again = section.stage in told
            lines.append(self._heading(f"{section.stage}{' (goes on)' * again}"))
            if not again:
                told.add(section.stage)
                lines.append(f"{self.comment} {described(self.counts[section.stage])}")
            for line in section.lines:
                if self.largest and line.startswith(f"{self.largest.label}:"):
                    lines.append(
                        f"{self.comment} largest loop: {self.largest.n_instructions} instructions"
                    )
                lines.append(line)
        return "\n".join(lines)

    def _heading(self, words: str) -> str:
        return f"{self.comment} ──── {words} {'─' * max(0, 72 - len(words))}"


def described(counts: Mapping[str, int]) -> str:
    """Return the counts of a stage in words, the most frequent first."""
    total = sum(number for name, number in counts.items() if name != "folded loads")
    parts = [f"{number} {name}" for name, number in counts.items()]
    return f"{total} instructions: {', '.join(parts)}" if parts else "no instruction"


def annotated(ir: str, target: Target, apart: bool = False) -> Listing:
    """Return a module's assembly, whose lines know the stages that they come from.

    It is written as for Linux whatever the system is, because other systems use other words for the
    same instructions. What their calling conventions ask of a function is not shown.

    Parameters
    ----------
    ir : str
        The module as the templates render it.
    target : Target
    apart : bool
        Whether LLVM runs in a process of its own, as it must for targets that this machine is not.

    Raises
    ------
    NativeCodeError
        If LLVM rejects `ir`.
    """
    shown = target.for_linkers("linux") if target.system in SYSTEMS else target
    ir = ir.replace(f'target triple = "{target.triple}"', f'target triple = "{shown.triple}"')
    target = shown
    marked, names = with_stages(ir)
    exported = names[-1]
    emit = llvm.to_text_apart if apart else llvm.to_text
    tagged = [
        (KERNEL if stage == exported else stage, line)
        for stage, line in _staged(emit(marked, target, "assembly").split("\n"), names)
    ]
    sections = tuple(
        Section(stage, tuple(line for _, line in group))
        for stage, group in groupby(tagged, lambda pair: pair[0])
    )
    counts: dict[str, Counter[str]] = {}
    for stage, line in tagged:
        if stage == CONSTANTS:
            continue
        own = counts.setdefault(stage, Counter())
        if found := _INSTRUCTION.fullmatch(line):
            own.update(classes(found["name"], found["operands"]))
    ordered = {stage: dict(own.most_common()) for stage, own in counts.items()}
    comment = "//" if target.architecture == "aarch64" else "#"
    return Listing(sections, ordered, _largest(tagged), comment)


def classes(name: str, operands: str) -> Iterator[str]:
    """Yield the class of an instruction, and "folded loads" if it also reads memory."""
    bare = re.sub(r"\s*(//|#).*", "", operands)
    memory = "(" in bare or "[" in bare
    if re.match(r"j\w+|call|ret|b$|b\.|bl$|cbn?z|tbn?z", name):
        yield "branches"
        return
    is_vector = bool(_VECTOR.search(bare))
    found = next((kind for kind, pattern in _PATTERNS if pattern.match(name)), "other")
    if found == "prefetches":
        yield found
    elif found == "moves" and memory:
        yield "stores" if name.startswith("st") or _STORE.search(bare) else "loads"
    elif is_vector:
        yield found
        if memory:
            yield "folded loads"
    else:
        yield "scalar"


def _staged(lines: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each line that says something, with its stage.

    Code without a line number belongs to the stage of the code before it.
    """
    stage, is_code, starts = CONSTANTS, False, ""
    for line in lines:
        if location := _LOCATION.match(line):
            number = int(location[1])
            stage = names[number - 1] if number else stage
        elif re.match(r"\s+\.(text|section|data|bss)\b", line):
            is_code = ".text" in line
            stage = starts if is_code and starts else CONSTANTS
        elif is_code and (label := re.match(r"([\w$.]+):", line)) and label[1] in names:
            stage = starts = label[1]
        if not _NOISE.match(line) and line.strip():
            yield stage if is_code and starts else CONSTANTS, line


def _largest(tagged: Sequence[tuple[str, str]]) -> Loop | None:
    """Return the innermost loop (a label and a jump back to it) with the most instructions."""
    places = {found[1]: i for i, (_, line) in enumerate(tagged) if (found := _LABEL.match(line))}
    ends: dict[str, int] = {}
    for i, (_, line) in enumerate(tagged):
        found = _JUMP.match(line)
        if found and places.get(found[1], i) < i:
            ends[found[1]] = i
    loops: list[Loop] = []
    for label, end in ends.items():
        start = places[label]
        if any(start < places[other] and ends[other] < end for other in ends):
            continue
        inside = [stage for stage, line in tagged[start : end + 1] if _INSTRUCTION.fullmatch(line)]
        loops.append(Loop(Counter(inside).most_common(1)[0][0], label, len(inside)))
    return max(loops, key=lambda loop: loop.n_instructions, default=None)
