"""Assembly that knows its stages: line numbers of debug information outlive inlining.

Stages are functions in the templates, and most of them are inlined. Each gets a line number of its
own, which LLVM carries along to whatever becomes of the function's instructions. The instructions
are the same with line numbers as without.
"""

from __future__ import annotations

import re

_DEFINITION = re.compile(r'define .*@("[^"]*"|[\w.$-]+)\(')
"""The line that begins a function, with its name."""
_FIRST = 1_000_000
"""The first number of the metadata that is added; the templates use no number so high."""


def with_stages(ir: str) -> tuple[str, list[str]]:
    """Return the module with a line number for each function, and the functions' names.

    Parameters
    ----------
    ir : str
        As the templates render it: one instruction a line, indented.

    Returns
    -------
    (str, list of str)
        The module and the names; instructions of the n-th function, counted from 1, have line n.
    """
    lines: list[str] = []
    names: list[str] = []
    inside = False
    for line in ir.split("\n"):
        definition = _DEFINITION.match(line)
        if definition:
            names.append(definition[1].strip('"'))
            line = f"{line.rstrip().removesuffix('{')}!dbg !{_scope(len(names))} {{"
            inside = True
        elif line.startswith("}"):
            inside = False
        elif inside and line.startswith("  ") and line.strip():
            line = f"{line.rstrip()}, !dbg !{_scope(len(names)) + 1}"
        lines.append(line)
    unit, file, version, kind, none = (f"!{_FIRST + number}" for number in range(5))
    lines += [
        f"!llvm.dbg.cu = !{{{unit}}}",
        f"!llvm.module.flags = !{{{version}}}",
        f"{unit} = distinct !DICompileUnit(language: DW_LANG_C99, file: {file}, "
        "emissionKind: DebugDirectivesOnly)",
        f'{file} = !DIFile(filename: "stages", directory: "")',
        f'{version} = !{{i32 2, !"Debug Info Version", i32 3}}',
        f"{kind} = !DISubroutineType(types: {none})",
        f"{none} = !{{}}",
    ]
    for number, name in enumerate(names, 1):
        scope = _scope(number)
        lines += [
            f'!{scope} = distinct !DISubprogram(name: "{name}", file: {file}, line: {number}, '
            f"type: {kind}, unit: {unit}, spFlags: DISPFlagDefinition)",
            f"!{scope + 1} = !DILocation(line: {number}, scope: !{scope})",
        ]
    return "\n".join(lines) + "\n", names


def _scope(number: int) -> int:
    """Return the number of a function's scope; the number after it is that of its location."""
    return _FIRST + 10 + 2 * number
