"""Plans as text for people: a line for each record, with its numbers by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from maddjit.compiler.target import Target
from maddjit.compiler.workspace import Workspace

_MOST_ITEMS = 6
"""The length up to which a tuple is written out in full."""
_MOST_RECORDS = 16
"""The number of records in a tuple up to which each has a line; more are only counted."""


def outlined(plan: Any) -> str:
    """Return a plan as text, a line for each record: the name of the part, then its numbers."""
    lines = outline(plan)
    width = 2 + max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}{text}" for name, text in lines)


def outline(plan: Any) -> list[tuple[str, str]]:
    """Return the name and the text of each record of a plan, such as ``encode.codes``.

    Fields that are None or empty are left out. Records are only counted if there are many, or if
    their tuple is within another tuple. A long tuple shows its first items and the last one; an
    array or a constant shows its size. ``repr(plan)`` has every number.
    """
    lines: list[tuple[str, str]] = []
    for field in fields(plan):
        value = getattr(plan, field.name)
        if field.name == "constants":
            sizes = ", ".join(f"{name} {len(content)}" for name, content in value)
            lines.append((field.name, f"bytes: {sizes}"))
        elif value is not None:
            lines += _lines(field.name, value)
    return lines


def _lines(name: str, value: Any, in_tuple: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the line of a value, and the lines of the records in it."""
    if isinstance(value, Workspace):
        places = ", ".join(f"{region.name} {region.offset}" for region in value.regions)
        yield name, f"{value.n_bytes} bytes, from: {places}"
    elif isinstance(value, Target) or not is_dataclass(value):
        yield name, _brief(value)
    else:
        inner = [(field.name, getattr(value, field.name)) for field in fields(value)]
        inner = [(key, part) for key, part in inner if part not in (None, "", ())]
        own = [f"{key}={_brief(part)}" for key, part in inner if not _is_apart(part, in_tuple)]
        if own:
            yield name, ", ".join(own)
        for key, part in inner:
            if _is_apart(part, in_tuple) and isinstance(part, tuple):
                for i, item in enumerate(part):
                    yield from _lines(f"{name}.{key}[{i}]", item, in_tuple=True)
            elif _is_apart(part, in_tuple):
                yield from _lines(f"{name}.{key}", part, in_tuple)


def _is_apart(value: Any, in_tuple: bool) -> bool:
    """Return whether a value gets lines of its own: a record, or records in an outermost tuple."""
    if isinstance(value, tuple):
        is_short = 0 < len(value) <= _MOST_RECORDS
        return is_short and not in_tuple and all(map(is_dataclass, value))
    return is_dataclass(value)


def _brief(value: Any) -> str:
    """Return a value in few words."""
    if isinstance(value, Target):
        return value.name
    if hasattr(value, "nbytes"):
        return f"{value.dtype} of shape {value.shape}"
    if is_dataclass(value):
        return type(value).__name__
    if not isinstance(value, tuple):
        return str(value)
    if value and all(map(is_dataclass, value)):
        kinds = [type(item).__name__ for item in value]
        return " + ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    items = [_brief(item) for item in value]
    if len(items) > _MOST_ITEMS:
        items = [*items[:3], "…", items[-1]]
    return f"({', '.join(items)})"
