"""Studies of runs of a few steps: what is asked of which archives. What comes out is no finding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.analysis.batch_size.signature import SIGNATURE
from spectra_cli.analysis.taxonomy.labels import Confidence
from spectra_cli.core.errors import UsageError
from spectra_cli.extract.demo import families
from spectra_cli.extract.demo.settings import BandedTask, DemoSettings
from spectra_cli.workflows import study as workflow
from spectra_cli.workflows.study import STUDIES, Study, StudyRequest, run_study

TINY = families.Scale(
    base=DemoSettings(
        task=BandedTask(vocab_size=32, sequence_length=8),
        num_train=512,
        num_validation=512,
        n_layer=3,
        n_head=2,
        n_embd=64,
        batch_size=16,
        lr=5e-3,
        save_optimizers=False,
    ),
    target_loss=3.13,
    batch_sizes=(4, 8, 16),
    first_save=48,
    early_sequences=48,
    most_sequences=192,
    scan={"num_sequences": 512, "num_gradient_sequences": 64, "num_blocks": 8, "matrices": ("attn.o",)},
)

SEEDS = {"batch-size": 2, "early-tail": 1, "taxonomy": 3}


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "FULL", TINY)
        patch.setattr(families, "QUICK", replace(TINY, batch_sizes=(4, 8, 16, 32)))
        patch.setattr(families, "SAVES_PER_OCTAVE", 1)
        patch.setattr(families, "EARLY_BATCH_SIZES", (4, 8))
        patch.setattr(families, "EARLY_RATES", (5e-3,))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module", params=STUDIES)
def study(request, tiny, folder) -> Study:
    return ask(request.param, folder)


def ask(name, folder, progress=lambda _: None, **changes):
    chosen = {"num_seeds": SEEDS.get(name)} | changes
    request = StudyRequest(study=name, folder=folder / name, processes=1, **chosen)
    return run_study(request, progress)


def test_every_run_is_there_with_what_it_was_trained_with(study):
    family = families.FAMILIES[study.study](TINY, SEEDS[study.study])
    assert [run.name for run in study.runs] == [run.name for run in family]
    for run, planned in zip(study.runs, family, strict=True):
        assert run.archive.is_file()
        assert run.batch_size_tokens == 8 * planned.settings.batch_size
        assert run.tokens == run.steps * run.batch_size_tokens
        assert run.reached == (run.loss <= TINY.target_loss)
        assert run.reached or run.tokens == 8 * TINY.most_sequences


def test_each_study_asks_its_own_question(study):
    assert (study.forecast is None) == (study.study != "early-tail")
    assert (study.comparison is None) == (study.study == "early-tail")
    assert bool(study.interventions) == (study.study == "taxonomy")
    assert bool(study.signature) == (study.study == "batch-size")


def test_a_finished_study_only_reads(study, folder):
    told = []
    again = ask(study.study, folder, told.append)
    assert not told
    assert again.runs == study.runs


def test_the_signature_is_that_of_the_archives_at_the_last_matched_loss(folder):
    study = ask("batch-size", folder)
    last = study.comparison.alignment.points[-1].target
    sizes = np.array([run.batch_size_tokens for run in study.runs])
    assert {row.trend.of.statistic for row in study.signature} == set(SIGNATURE)
    assert {row.trend.of.site.layer for row in study.signature} == {0, 1, 2}
    for row in study.signature:
        assert row.trend.of.target == last
        values = np.array([math.nan if run is None else run.value for run in row.trend.of.runs])
        for size in set(sizes):
            assert row.means[size] == pytest.approx(values[sizes == size].mean(), nan_ok=True)
        spreads = [values[sizes == size].var(ddof=1) for size in set(sizes)]
        assert row.seed_spread == pytest.approx(math.sqrt(np.mean(spreads)), nan_ok=True)


def test_the_forecast_is_of_the_budget_and_loss_that_were_fixed(folder):
    study = ask("early-tail", folder)
    assert (study.forecast.early, study.forecast.early_unit) == (48 * 8, "tokens")
    assert study.forecast.target == TINY.target_loss
    assert len(study.forecast.rows) == 2
    assert {row.early for row in study.forecast.rows} == {48 * 8}


def test_interventions_are_held_against_the_first_baseline_and_its_seeds(folder):
    study = ask("taxonomy", folder)
    for comparison, level in (
        (study.comparison, Confidence.CHECKPOINTS),
        (study.over_seeds, Confidence.SEEDS),
    ):
        assert comparison.runs[comparison.baseline].name == "baseline-seed0"
        labels = {comparison.runs[pair.second].name: pair.taxonomy for pair in comparison.pairs}
        assert study.interventions.keys() <= labels.keys()
        for name in study.interventions:
            assert {one.confidence for one in labels[name]} == {level}
            assert len(labels[name]) == len(comparison.alignment.points)


def test_a_baseline_of_one_seed_gives_labels_about_checkpoints(folder):
    study = ask("taxonomy", folder, num_seeds=1)
    labels = [one for pair in study.comparison.pairs for one in pair.taxonomy]
    assert {one.confidence for one in labels} == {Confidence.CHECKPOINTS}
    assert study.over_seeds is None


def test_quick_is_another_family(tmp_path, monkeypatch):
    asked = []

    def stop(folder, runs, settings, **_):
        asked.extend(runs)
        raise KeyboardInterrupt

    monkeypatch.setattr(workflow, "train_and_scan", stop)
    with pytest.raises(KeyboardInterrupt):
        ask("batch-size", tmp_path, quick=True, num_seeds=1)
    assert [run.settings.batch_size for run in asked] == [4, 8, 16, 32]


def test_an_unknown_study_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no study 'weather'; studies: batch-size, early-tail, taxonomy"):
        ask("weather", tmp_path)
    assert not list(tmp_path.iterdir())
