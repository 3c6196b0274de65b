"""The taxonomy as it is printed: every piece of evidence, what is missing, and within the width."""

import json
import math
from dataclasses import replace

import pytest

from spectra_cli.analysis.compare.decisions import Difference, Verdict
from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.taxonomy.labels import GRADIENT, HEAD, classify
from spectra_cli.analysis.taxonomy.token_gain import Performance
from spectra_cli.core.types import Site
from spectra_cli.render.forms.json import as_json
from spectra_cli.render.forms.terminal import PIPE_WIDTH
from spectra_cli.render.tables.taxonomy import as_document, taxonomy_overview, taxonomy_report


def item(measurement, statistic, layer, component, delta, verdict):
    site = Site(layer=layer, component=component)
    different = verdict is Verdict.DIFFERENT
    found = Difference(
        first=1.0,
        second=1.0 + delta,
        delta=delta,
        stderr=0.01,
        floor=0.02,
        degrees=15,
        paired=True,
        margin=0.05,
        p_value=0.001 if different else 0.5,
        adjusted=0.002 if different else 0.6,
        verdict=verdict,
    )
    return SiteDifference(
        measurement=measurement, statistic=statistic, site=site, other=site, target=3.28125, found=found
    )


@pytest.fixture(scope="module")
def moved_and_open():
    """Twelve layers whose head moved in all but the first, and gradients that are open."""
    differences = [
        item(
            "activation_covariance",
            name,
            layer,
            "resid_post",
            0.11,
            Verdict.DIFFERENT if layer else Verdict.INCONCLUSIVE,
        )
        for name in (*HEAD, "tail_exponent_30_150")
        for layer in range(12)
    ]
    differences += [
        item("gradient_covariance", f"log_{name}", layer, component, 0.015, Verdict.INCONCLUSIVE)
        for name in GRADIENT[1:]
        for layer in range(12)
        for component in ("attn.q", "mlp.down")
    ]
    return classify(
        differences,
        3.28125,
        num_sequences={"activation_covariance": 256, "gradient_covariance": 128},
        performance=Performance(token_gain=0.123, token_gain_error=0.004),
    )


def test_the_report_says_all_that_the_label_rests_on(moved_and_open, printed):
    text = printed(*taxonomy_report(moved_and_open, "loss 3.2812"))
    assert all(len(line) <= PIPE_WIDTH for line in text.splitlines())
    words = " ".join(text.split())
    for part in (
        "inconclusive (checkpoint-level, at loss 3.2812)",
        "gradients: neither moved nor shown equal",
        "left: learning-side, learning-dynamics shift, representation shift",
        "gain in tokens: +12.3 % ± 0.4",
        "head: moved",
        "head: α head 1-10 up in layers 1-11",
        "tail: α tail 30-150 up in layers 1-11",
        "log RankMe open in 24 of 24 sites; not beaten: noise of this comparison (24)",
        # 128 (2.1314 * 0.01 / 0.015)^2, and 128 (1.7531 * 0.01 / 0.035)^2
        "needed for a difference of this size 259 sequences, for equality 33 sequences",
        "α tail scaled n has no number in 24 of 24 sites",
        "correlation, not mechanism",
        "matched loss is not matched data",
    ):
        assert part in words


def test_the_document_holds_the_same_numbers(moved_and_open):
    document = as_document(moved_and_open)
    assert json.loads(as_json(document)) == document
    assert document["label"] == "inconclusive"
    head = document["evidence"][0]
    assert (head["flag"], head["num_sites"]) == ("moved", 12)
    assert head["statistics"][0]["risen"] == [f"blocks.{layer}.resid_post" for layer in range(1, 12)]
    assert head["statistics"][0]["seed_floor"] is None
    assert document["throughput_gain"] is None


def test_a_gain_whose_error_is_unknown_says_so(moved_and_open, printed):
    unsure = replace(moved_and_open, performance=Performance(token_gain=0.1, token_gain_error=math.nan))
    assert "gain in tokens: +10.0 % with an unknown error" in printed(*taxonomy_report(unsure, "loss 3"))


def test_nothing_measured_still_prints(printed):
    empty = classify([], 3.0, num_sequences={})
    text = printed(*taxonomy_report(empty, "loss 3"), taxonomy_overview([empty], "loss"))
    assert "not measured" in text
    assert "gain in tokens: unknown; in throughput: not given" in text
    assert math.isnan(empty.performance.token_gain)


def test_the_overview_has_a_row_a_point(moved_and_open, printed):
    text = printed(taxonomy_overview([moved_and_open] * 5, "loss"))
    assert all(len(line) <= PIPE_WIDTH for line in text.splitlines())
    assert text.count("3.2812") == 5
