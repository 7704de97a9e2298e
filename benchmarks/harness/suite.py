"""What a suite is: subjects, limits, how one subject is measured, and the sections of its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import ROOT
from benchmarks.harness.tables import Record

RESULTS = ROOT / "benchmarks" / "results"

Section = Callable[[Record], Mapping[str, Sequence[str]]]
"""Takes what a results file holds, returns Markdown blocks under headings ("" for no heading)."""

Across = Callable[[Sequence[Record]], str]
"""Takes what all results files hold, returns Markdown with the machines side by side."""


@dataclass(frozen=True)
class Suite:
    """A suite of benchmarks.

    Attributes
    ----------
    name : str
        Its folder in `benchmarks/suites`, and the start of its results' names.
    subjects, small : mapping
        What is measured, by name, and what ``--small`` measures in seconds.
    limits : dataclass instance
        What bounds the work. Each field is an option of the command line.
    small_limits : mapping
        Fields of `limits` that ``--small`` changes.
    measure : callable
        Takes a subject and the limits and returns a record with "title", perhaps with reasons by
        name for what was "left_out" or "failed".
        A `Missing` that it raises leaves the subject out.
    sections : mapping of Section
        The tables of the page, by the names that `page.md` has for them.
    figures : callable
        Takes what a results file holds, returns matplotlib figures by name.
    across : mapping of Across
        Further tables of the page, which hold all machines at once.
    resumes : bool
        Whether each run of the command measures what its results file lacks, at one level, until
        all is there or the minutes of `limits` are over.
    """

    name: str
    subjects: Mapping[str, Any]
    small: Mapping[str, Any]
    limits: Any
    small_limits: Mapping[str, Any]
    measure: Callable[[Any, Any], Record]
    sections: Mapping[str, Section]
    figures: Callable[[Record], Mapping[str, Any]] | None = None
    across: Mapping[str, Across] = field(default_factory=dict)
    resumes: bool = False

    @property
    def text(self) -> Path:
        """The Markdown file that says what the tables mean and where they stand."""
        return ROOT / "benchmarks" / "suites" / self.name / "page.md"
