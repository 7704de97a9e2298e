"""`resolved`: takes trees or additive codes, by the time that each is predicted to take."""

from __future__ import annotations

import logging
from dataclasses import replace

from maddjit.learning.additive import settings
from maddjit.learning.maddness.options import EncoderKind, Options

logger = logging.getLogger(__name__)


def resolved(options: Options, n_features: int, n_outputs: int) -> tuple[Options, str]:
    """Return the options with "trees" or "additive" for "auto", and why; else as they are.

    Times are counted in look-ups of one byte. Additive codes are taken if they are predicted to be
    faster than trees of about the same error, which have `settings.SAME_ERROR` times as many
    codebooks. The prediction knows sizes alone, so it is the same on every machine.

    Parameters
    ----------
    options : Options
    n_features, n_outputs : int
        D and M.
    """
    if options.encoder != "auto":
        return options, ""
    n_codebooks, n_scores = options.n_codebooks, options.n_codebooks * options.n_prototypes
    more = settings.SAME_ERROR * n_codebooks
    if n_features <= settings.DIRECT_FEATURES:
        products = n_features * n_scores
    else:
        products = settings.USUAL_RANK * (n_features + n_scores)
    additive = settings.PRODUCT_TIME * products + n_codebooks * n_outputs
    trees = more * n_outputs
    kind: EncoderKind
    if n_codebooks > n_features:
        kind, why = "additive", f"{n_codebooks} trees would need as many columns"
    else:
        kind = "additive" if additive < trees else "trees"
        why = (
            f"{n_codebooks} additive codes take the time of {additive:.0f} look-ups, and {more} "
            f"trees, whose error is about the same, that of {trees:.0f}"
        )
    logger.info("encoder=%r: %s", kind, why)
    return replace(options, encoder=kind), why
