"""Elements of SVG as text, in colours that the page's style sheet sets for light and for dark.

A drawing is a string. Nothing here knows Sphinx, and equal arguments give equal text.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def number(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _attributes(names: dict[str, float | str]) -> str:
    shown = ((k.rstrip("_").replace("_", "-"), v) for k, v in names.items() if v != "")
    return "".join(f' {k}="{v if isinstance(v, str) else number(v)}"' for k, v in shown)


def rect(x: float, y: float, w: float, h: float, **more: float | str) -> str:
    """Return a rectangle; further attributes by name, `class_` for class."""
    return f"<rect{_attributes({'x': x, 'y': y, 'width': w, 'height': h, **more})}/>"


def line(x1: float, y1: float, x2: float, y2: float, **more: float | str) -> str:
    """Return a straight line."""
    return f"<line{_attributes({'x1': x1, 'y1': y1, 'x2': x2, 'y2': y2, **more})}/>"


def circle(x: float, y: float, r: float, **more: float | str) -> str:
    """Return a circle."""
    return f"<circle{_attributes({'cx': x, 'cy': y, 'r': r, **more})}/>"


def path(points: Iterable[tuple[float, float]], **more: float | str) -> str:
    """Return straight lines from point to point."""
    d = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return f"<path{_attributes({'d': d, 'fill': 'none', **more})}/>"


def curve(a: float, b: float, c: float, d: float, **more: float | str) -> str:
    """Return a curve that leaves (a, b) and reaches (c, d) upright."""
    x1, y1, x2, y2, middle = map(number, (a, b, c, d, (b + d) / 2))
    way = f"M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}"
    return f"<path{_attributes({'d': way, 'fill': 'none', **more})}/>"


def text(x: float, y: float, words: str, **more: float | str) -> str:
    """Return one line of text, centred at x unless its class says "start" or "end"."""
    return f"<text{_attributes({'x': x, 'y': y, **more})}>{escape(words)}</text>"


def arrow(x1: float, y1: float, x2: float, y2: float, **more: float | str) -> str:
    """Return a straight arrow, level or upright."""
    right = abs(x2 - x1) > abs(y2 - y1)
    sign = 1 if (x2 - x1 if right else y2 - y1) > 0 else -1
    wings = [(-4 * sign, -3), (-4 * sign, 3)] if right else [(-3, -4 * sign), (3, -4 * sign)]
    (ax, ay), (bx, by) = wings
    head = [(x2 + ax, y2 + ay), (x2, y2), (x2 + bx, y2 + by)]
    return line(x1, y1, x2, y2, class_="ink", **more) + path(head, class_="ink", **more)


def drawing(name: str, width: float, height: float, title: str, desc: str, *parts: str) -> str:
    """Return a whole drawing, with a title and a description for those who cannot see it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" '
        f'class="picture" role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(desc)}</desc>\n' + "\n".join(parts) + "\n</svg>"
    )
