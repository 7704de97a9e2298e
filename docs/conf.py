"""Sphinx: `make docs` builds these pages into build/docs. Nothing is fetched while building."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "_ext"), str(Path(__file__).parent.parent)]

import maddjit

project = "maddjit"
author = "The maddjit developers"
copyright = "The maddjit developers, Apache-2.0"
version = release = maddjit.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "printed",
    "plain_letters",
    "drawn",
    "generated",
]
exclude_patterns = ["_ext", "_static", "figures", "decisions/README.md"]
smartquotes_action = "D"  # two hyphens between a name and its description are a dash
myst_heading_anchors = 3

default_role = "py:obj"  # `name` in a docstring is a link where there is such a page
autodoc_typehints = "none"  # docstrings tell types, with shapes
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False  # several names with one description stay together
napoleon_use_ivar = True
napoleon_preprocess_types = False

html_static_path = ["_static"]
html_theme = "furo"
html_title = f"maddjit {release}"
html_copy_source = False
html_show_sourcelink = False
