"""The error of an integration whose library is not installed."""

from __future__ import annotations


def missing(library: str, extra: str) -> ImportError:
    """Return the error that names the extra which installs a library."""
    return ImportError(
        f"maddjit.integrations.{extra} needs {library}: pip install 'maddjit[{extra}]'"
    )
