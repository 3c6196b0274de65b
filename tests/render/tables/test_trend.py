"""The trend with batch size as it is printed."""

import json

import numpy as np
import pytest

from spectra_cli.analysis.batch_size.across_runs import AcrossRuns
from spectra_cli.analysis.batch_size.trend import batch_trends
from spectra_cli.analysis.estimates import Estimated
from spectra_cli.core.types import Site
from spectra_cli.render.forms.json import as_json
from spectra_cli.render.forms.terminal import PIPE_WIDTH
from spectra_cli.render.tables.trend import as_document, trend_report

SIZES = {"small": 4096, "middle": 8192, "large": 16_384, "a-run-with-a-rather-long-name": 32_768}


@pytest.fixture(scope="module")
def trends():
    """Twelve layers, and as many matrices: a rise in the first, noise in the others, one without a number."""
    generator = np.random.default_rng(0)
    numbers = []
    for layer in range(12):
        for measurement, statistic, component, slope in (
            ("activation_covariance", "head_exponent_1_10", "resid_post", 1.0),
            ("gradient_covariance", "tail_exponent_sample_scaled", "attn.o", 0.0),
        ):
            runs = [
                Estimated(
                    per_row=slope * place + 0.01 * generator.normal() + 1e-4 * generator.normal(size=17),
                    block_sizes=(4,) * 16,
                )
                for place in range(4)
            ]
            numbers.append(
                AcrossRuns(
                    measurement=measurement,
                    statistic=statistic,
                    site=Site(layer=layer, component=component),
                    target=3.28,
                    runs=tuple(runs),
                    margin=0.05,
                )
            )
    numbers.append(
        AcrossRuns(
            measurement="weight",
            statistic="log_stable_rank",
            site=Site(layer=None, component="embed"),
            target=3.28,
            runs=(None,) * 4,
            margin=0.05,
        )
    )
    return batch_trends(numbers, list(SIZES.values()), paired=True)


def test_the_report_counts_and_shows_the_clearest(trends, printed):
    text = printed(*trend_report(trends, SIZES, "loss 3.2812", ["four runs are few"]))
    assert all(len(line) <= PIPE_WIDTH for line in text.splitlines())
    words = " ".join(text.split())
    assert "Trend with batch size at loss 3.2812: 12 of 25 numbers rise or fall" in words
    assert "small 4.1k, middle 8.19k, large 16.4k" in words
    assert "The clearest trends (12 more in --json)" in words
    assert "- four runs are few" in words
    activations = next(line for line in text.splitlines() if line.startswith("activations"))
    assert activations.split()[1:9] == ["α", "head", "1-10", "12", "12", "0", "0", "0"]


def test_the_document_holds_every_number(trends):
    document = as_document(trends)
    assert json.loads(as_json(document)) == document
    assert len(document) == 25
    assert document[0]["verdict"] == document[0]["order"] == "rising"
    assert document[0]["values"][0] == trends[0].of.runs[0].value
    assert document[-1]["slope"] is None
