"""Which encoder "auto" takes: it depends on sizes alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import maddjit
from maddjit.learning.additive.choice import resolved
from maddjit.learning.maddness.options import Options

AUTO = Options(
    n_codebooks=16,
    n_prototypes=16,
    method="best",
    core_rank=0,
    prototypes="ridge",
    accumulate="exact",
    table_scale="per-output",
    byte_group="auto",
    n_candidates=4,
    penalty=1.0,
    encoder="auto",
)


@pytest.mark.parametrize(
    ("n_features", "n_outputs", "kind"),
    [(512, 10, "trees"), (512, 1000, "trees"), (512, 2000, "additive"), (120, 6625, "additive")],
)
def test_wide_products_have_additive_codes(n_features: int, n_outputs: int, kind: str) -> None:
    options, why = resolved(AUTO, n_features, n_outputs)
    assert options == replace(AUTO, encoder=kind)  # type: ignore[arg-type]
    assert "16 additive codes take the time of" in why


def test_equal_times_go_to_trees() -> None:
    # Products of 100 columns: .8 · 100 · 16 · 20 = 25600 look-ups, as many as 2 · 20 · 640.
    options = replace(AUTO, n_codebooks=20)
    assert resolved(options, 100, 640)[0].encoder == "trees"
    assert resolved(options, 100, 641)[0].encoder == "additive"


def test_more_codebooks_than_columns_are_additive() -> None:
    options, why = resolved(AUTO, 9, 2)
    assert options.encoder == "additive"
    assert why == "16 trees would need as many columns"


def test_what_is_asked_for_stays() -> None:
    options = replace(AUTO, encoder="trees")
    assert resolved(options, 512, 10000) == (options, "")


def test_reports_say_what_was_taken_and_why() -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((300, 4)) @ rng.standard_normal((4, 20))
    B = rng.standard_normal((20, 3))
    for n_codebooks, kind in ((4, maddjit.HashTrees), (24, maddjit.AdditiveCodes)):
        model = maddjit.fit(A, B, n_codebooks, encoder="auto")
        assert isinstance(model.encoder, kind)
        assert model.report is not None
        assert "(auto: " in model.report.learned_by
    with pytest.raises(ValueError, match="the paper has trees"):
        maddjit.fit(A, B, 4, method="paper", encoder="auto")
