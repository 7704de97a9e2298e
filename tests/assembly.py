"""Reading assembly: instructions, innermost loops, and what they do to the stack."""

from __future__ import annotations

import re


def instructions(assembly: str) -> list[tuple[str, str]]:
    """Return the instructions, each with its operands."""
    found = re.findall(r"^\t([a-z][\w.]*)[ \t]*(.*)$", assembly, re.MULTILINE)
    return [(name, operands) for name, operands in found if not name.startswith(".")]


def loops(assembly: str) -> list[list[tuple[str, str]]]:
    """Return the bodies of innermost loops: from a label to the branch back to it."""
    bodies = []
    lines = assembly.splitlines()
    labels = {line[:-1]: i for i, line in enumerate(lines) if re.match(r"\.LBB\w+:", line)}
    for i, line in enumerate(lines):
        match = re.match(r"\t(?:j\w+|b\.?\w*|cbn?z|tbn?z)\t(?:\w+, )?(?:#\d+, )?(\.LBB\w+)", line)
        if match and labels.get(match[1], i) < i:
            body = lines[labels[match[1]] : i + 1]
            inner = [label for label in labels if f"{label}:" in body[1:]]
            if not any(re.search(rf"\t{re.escape(label)}$", b) for label in inner for b in body):
                bodies.append(instructions("\n".join(body)))
    return bodies


def stack_accesses(body: list[tuple[str, str]], assembly: str) -> list[str]:
    """Return the operands of a loop of `assembly` that lie on the stack: x86-64 and aarch64.

    The register of frames counts where a function sets it up; elsewhere it is like any other.
    """
    registers = ["%rsp", "sp"]
    if re.search(r"\tmovq\t%rsp, %rbp", assembly):
        registers.append("%rbp")
    if re.search(r"\t(?:mov|add)\tx29, sp", assembly):
        registers.append("x29")
    places = "|".join(rf"[(\[]{register}[,)\]]" for register in registers)
    return [operands for _, operands in body if re.search(places, operands)]


def stack_stores(body: list[tuple[str, str]], assembly: str) -> list[str]:
    """Return the operands of a loop of `assembly` that write to the stack."""
    to_memory = re.compile(r"[\w-]*\(%\w+\)$|.*,\s*[\w-]*\(%\w+\)$")
    return [
        operands
        for name, operands in body
        if stack_accesses([(name, operands)], assembly)
        and (
            name.startswith("st")
            or (to_memory.match(operands) and not name.startswith(("cmp", "test", "prefetch")))
        )
    ]
