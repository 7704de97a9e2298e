"""The pictures of "How it works", by name.

A function for each, from what was learned to the text of an SVG. Every number in a picture is one
that a model holds or the definition computes.
"""

from __future__ import annotations

from collections.abc import Callable

from example_models import Example
from pictures_of_looking_up import codes, table, tree
from pictures_of_multiplying import short_list, tile

PICTURES: dict[str, Callable[[Example], str]] = {
    "tree": tree,
    "codes": codes,
    "table": table,
    "short_list": short_list,
    "tile": tile,
}
