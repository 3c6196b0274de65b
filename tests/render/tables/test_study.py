from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectra_cli.analysis.alignment import AlignedPoint, Alignment
from spectra_cli.analysis.batch_size.across_runs import AcrossRuns
from spectra_cli.analysis.batch_size.over_runs import BatchSizeTrend
from spectra_cli.analysis.batch_size.signature import SignatureRow
from spectra_cli.analysis.batch_size.trend import batch_trends
from spectra_cli.analysis.comparison import Comparison
from spectra_cli.analysis.estimates import Estimated
from spectra_cli.analysis.run import Axis, Loss
from spectra_cli.core.types import Site
from spectra_cli.render.outputs.study import document
from spectra_cli.render.tables.study import tables
from spectra_cli.workflows.study import Study, StudyRun

SIZES = (512, 512, 1024, 1024, 2048, 2048)
LOSSES = (3.2, 3.0)


def run(number: int, *, loss: float = 2.98) -> StudyRun:
    return StudyRun(
        name=f"batch{number}",
        archive=Path(f"study/batch{number}.spectra.h5"),
        optimizer="adamw",
        batch_size_tokens=SIZES[number],
        learning_rate=0.002,
        seed=number % 2,
        steps=100,
        tokens=100 * SIZES[number],
        loss=loss,
        reached=loss <= 3.0,
    )


def trends():
    """A number that rises by one a doubling, and one that only scatters, at two losses."""
    exact = [1.0, 1.01, 2.0, 2.01, 3.0, 3.01]
    noise = [1.0, 1.2, 1.15, 0.9, 1.1, 1.0]
    rng = np.random.default_rng(0)

    def number(statistic, values, target):
        runs = [
            Estimated(per_row=np.array([v, *(v + 0.001 * rng.normal(size=8))]), block_sizes=(4,) * 8)
            for v in values
        ]
        return AcrossRuns(
            measurement="activation_covariance",
            statistic=statistic,
            site=Site.parse("blocks.1.resid_post"),
            target=target,
            runs=tuple(runs),
            margin=0.05,
        )

    named = {"tail_exponent_scaled": exact, "head_exponent_1_10": noise}
    numbers = [number(name, values, target) for target in LOSSES for name, values in named.items()]
    return tuple(batch_trends(numbers, SIZES, paired=True))


@pytest.fixture
def study() -> Study:
    found = trends()
    rows = tuple(
        SignatureRow(means={512: 1.0, 1024: 2.0, 2048: math.nan}, noise=0.001, seed_spread=0.007, trend=one)
        for one in found[2:]
    )
    points = tuple(AlignedPoint(target=target, places=()) for target in LOSSES)
    comparison = Comparison(
        runs=(),
        baseline=0,
        alignment=Alignment(axis=Axis.LOSS, loss=Loss.PROBE, points=points),
        pairs=(),
        trend=BatchSizeTrend(trends=found, caveats=("six runs",)),
    )
    runs = tuple(run(number, loss=3.1 if number == 5 else 2.98) for number in range(6))
    return Study(
        study="batch-size",
        folder=Path("study"),
        target_loss=3.0,
        runs=runs,
        forecast=None,
        comparison=comparison,
        over_seeds=None,
        signature=rows,
        interventions={},
    )


@pytest.fixture
def shown(study, printed) -> str:
    return printed(*tables(study))


def test_every_run_has_a_row_and_the_one_that_fell_short_a_mark(shown):
    lines = shown.splitlines()
    assert all(len(line) <= 100 for line in lines)
    rows = [line for line in lines if line.startswith("batch")]
    assert [line.split()[-1] for line in rows[:6]] == ["2.9800"] * 5 + ["3.1000!"]
    assert "1 did not reach it" in shown


def test_the_signature_shows_means_both_floors_and_the_verdict(shown):
    (rising,) = [line for line in shown.splitlines() if line.startswith("α tail scaled ")][:1]
    words = rising.split()
    assert words[3:9] == ["1", "1.000", "2.000", "-", "0.001", "0.007"]
    assert words[-1] == "rising"
    assert "α tail scaled with the batch size: rising in 1 of 1 layers" in shown
    assert "α head 1-10 with the batch size: inconclusive in 1 of 1 layers" in shown


def test_the_trends_are_counted_at_each_loss(shown):
    table = shown.split("Trends at each matched loss")[1]
    rows = [line.split() for line in table.splitlines() if line.strip()[:2] == "3." or line.strip() == "3"]
    assert [row[1:3] for row in rows] == [["2", "1"]] * len(rows)


def test_too_few_batch_sizes_are_said(study, printed):
    comparison = replace(study.comparison, trend=BatchSizeTrend(reason="2 batch sizes among 6 runs"))
    text = printed(*tables(replace(study, comparison=comparison, signature=())))
    assert "no trend: 2 batch sizes among 6 runs" in text


def test_the_document_holds_the_same_numbers_and_no_nan(study):
    nowhere = replace(study.comparison, alignment=replace(study.comparison.alignment, points=()))
    found = document(replace(study, comparison=nowhere))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["schema"], found["study"]) == ("spectra.study/1", "batch-size")
    assert [r["reached"] for r in found["runs"]] == [True] * 5 + [False]
    first = found["signature"][0]
    assert first["means"] == [
        {"batch_size_tokens": 512, "mean": 1.0},
        {"batch_size_tokens": 1024, "mean": 2.0},
        {"batch_size_tokens": 2048, "mean": None},
    ]
    assert (first["probe_error"], first["seed_spread"]) == (0.001, 0.007)
    assert first["trend"]["verdict"] == "rising"
    assert found["interventions"] == []
    assert found["forecast"] is None
