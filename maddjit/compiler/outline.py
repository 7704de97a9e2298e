"""Plans as text for people: one line for each part, with its numbers by name."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from maddjit.compiler.target import Target

_MOST_ITEMS = 6
"""Items of a tuple that are all written out."""


def outline(plan: Any) -> list[tuple[str, str]]:
    """Return the name and the text of each part of a plan.

    Records inside a part are written as ``(name=value, …)``. Of several records of one kind only
    the number is written, of long tuples the first and the last items, of arrays and constants the
    size. ``repr(plan)`` has all numbers.
    """
    return [(field.name, _text(field.name, getattr(plan, field.name))) for field in fields(plan)]


def outlined(plan: Any) -> str:
    """Return the outline of a plan as one text."""
    return "\n".join(f"{name:<16}{text}" for name, text in outline(plan))


def _text(name: str, value: Any) -> str:
    if name == "constants":
        return ", ".join(f"{key}: {len(content)} bytes" for key, content in value)
    if name == "workspace":
        return ", ".join(f"{region.name} at {region.offset}" for region in value.regions)
    text = _brief(value)
    return text[1:-1] if is_dataclass(value) and text.startswith("(") else text


def _brief(value: Any) -> str:
    """Return a value in few words."""
    if isinstance(value, Target):
        return value.name
    if hasattr(value, "nbytes"):
        return f"{value.dtype} of shape {value.shape}"
    if is_dataclass(value):
        return f"({', '.join(f'{f.name}={_brief(getattr(value, f.name))}' for f in fields(value))})"
    if not isinstance(value, tuple):
        return str(value)
    if len(value) > 1 and all(map(is_dataclass, value)):
        kinds = [type(item).__name__ for item in value]
        return " + ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    items = [_brief(item) for item in value]
    if len(items) > _MOST_ITEMS:
        items = [*items[:3], "…", items[-1]]
    return f"[{', '.join(items)}]"
