"""The directive ``picture``, and figures that take the colours of the page.

    ```{picture} tree
    ```

shows that picture of `pictures`, drawn when the page is built. Figures of pages that stand in files
(``figures/*.svg``) are put into the HTML as they are, so that they take the colours of the page,
light or dark.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import example_models
import pages
from docutils import nodes
from pictures import PICTURES
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

_OWN_COLOURS = re.compile(r"<style>.*?</style>", re.DOTALL)
"""Those that a figure has where it stands alone; in a page, the style sheet has them."""


def _figure(svg: str) -> nodes.raw:
    return nodes.raw("", f'<figure class="picture">{svg}</figure>', format="html")


class Picture(SphinxDirective):
    """Show the drawing of a name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the drawing, which only HTML shows."""
        if self.arguments[0] not in PICTURES:
            raise self.error(f"a picture is one of {', '.join(PICTURES)}, not {self.arguments[0]}")
        with pages.without_cache():
            svg = PICTURES[self.arguments[0]](example_models.example())
        return [_figure(svg)]


class InlineFigures(SphinxPostTransform):
    """Put the text of our own figures in the place of references to them."""

    default_priority = 1
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Replace images of SVG that are `class="picture"`."""
        for image in list(self.document.findall(nodes.image)):
            path = Path(self.env.srcdir) / image["uri"]
            if path.suffix == ".svg" and path.is_file():
                text = path.read_text(encoding="utf-8")
                if 'class="picture"' in text[:500]:
                    image.replace_self(_figure(_OWN_COLOURS.sub("", text)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the transform."""
    app.add_directive("picture", Picture)
    app.add_post_transform(InlineFigures)
    app.add_css_file("pictures.css")
    return {"parallel_read_safe": False, "parallel_write_safe": True}
