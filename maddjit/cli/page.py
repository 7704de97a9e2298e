"""``maddjit inspect --html``: a model, its plan and its code on one self-contained web page."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from numpy.typing import ArrayLike

from maddjit.cli.kernels import facts_of
from maddjit.compiler.render import render_page
from maddjit.looking.listing import CONSTANTS, Listing, described
from maddjit.looking.pictures import Draw, pictures
from maddjit.pipeline import AnyOperator
from maddjit.version import __version__

_TEMPLATE = "html/report.html.j2"


def html_page(
    op: AnyOperator,
    name: str,
    provenance: Mapping[str, Any],
    plan: list[tuple[str, str]],
    listing: Listing,
    rows: ArrayLike | None,
    codebook: int,
) -> tuple[str, int]:
    """Return the page, and the number of figures on it, which is 0 without Matplotlib."""
    drawings = pictures(op.model, rows, codebook)
    figures = [
        {"title": title, "source": source}
        for title, draw in drawings.items()
        if (source := _image(title, draw))
    ]
    model = {key: value for key, value in facts_of(op.model).items() if key != "report"}
    text = render_page(
        _TEMPLATE,
        name=name,
        version=__version__,
        operator=repr(op),
        model={key: _words(value) for key, value in model.items()},
        provenance=dict(_flat(provenance)),
        fit=str(op.model.report or ""),
        report=str(op.report),
        plan=plan,
        figures=figures,
        stages={stage: described(counts) for stage, counts in listing.counts.items()},
        largest=listing.largest,
        sections=[
            {
                "stage": section.stage,
                "is_code": section.stage != CONSTANTS,
                "n_lines": len(section.lines),
                "text": "\n".join(section.lines) if section.stage != CONSTANTS else "",
            }
            for section in listing.sections
        ],
        ir=op.ir(),
    )
    return text, len(figures)


def _words(value: Any) -> str:
    """Return a fact in words, with a line for each fact inside it."""
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_words(one)}" for key, one in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flat(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each fact about a model's making by name, in words; each input is a fact by itself."""
    for key, value in provenance.items():
        if key == "inputs":
            yield from ((name, _words(facts)) for name, facts in value.items())
        else:
            yield key, _words(value)


def _image(title: str, draw: Draw) -> str:
    """Return the data URL of a picture; empty without Matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return ""
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.add_subplot()
    draw(ax)
    ax.set_title(title)
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
