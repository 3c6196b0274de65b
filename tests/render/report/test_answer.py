"""The sentences that a page begins with, and the rules that they are made by."""

from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.analysis.batch_size.trend import Direction
from spectra_cli.analysis.comparison import CompareRequest
from spectra_cli.analysis.run import Loss
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.report.answer import Path, path_of
from spectra_cli.render.report.contents import contents_of
from spectra_cli.workflows.compare import compare
from spectra_cli.workflows.runs import open_runs
from tests.builders.archives import write_planted_run


def told(*paths, **asked):
    return contents_of(PlotRequest(runs=tuple(map(str, paths)), **asked))


def texts(contents, *, caveats=False):
    return [one.text for one in contents.answer if one.is_caveat == caveats]


def path(values, errors=0.1):
    values = np.array(values, dtype=float)
    return Path(at=tuple(range(values.size)), values=values, errors=np.full(values.size, errors))


@pytest.mark.parametrize(
    ("values", "turn"),
    [
        ([5, 1, 4], 1),  # below both ends
        ([1, 3, 9, 2], 2),  # above both ends, the farthest
        ([1, 2, 3], None),  # between them
        ([1.0, 1.2, 1.1], None),  # within three standard errors
        ([3, 1], None),
    ],
)
def test_a_turn_lies_beyond_both_ends_by_more_than_its_error(values, turn):
    assert path(values).turn == turn


def test_a_change_has_the_errors_of_both_ends():
    assert path([1, 9, 4]).change == (3.0, pytest.approx(np.hypot(0.1, 0.1)))


def test_one_run_is_told_from_its_loss_to_its_places(tmp_path):
    run = write_planted_run(
        tmp_path / "a.spectra.h5",
        steps=[0, 10, 20],
        losses=[4.0, 3.0, 2.5],
        exponents=[1.0, 1.5, 2.0],
        noise=0.02,
    )
    contents = told(run)
    assert contents.question == "What happened inside a over its training?"
    first, second, third = texts(contents)
    assert first == "Probe loss fell from 4 to 2.5, from step0 to step20, 20k tokens (3 checkpoints)."
    assert second.startswith(
        "Effective rank of activations: fell in 2 of 2 layers, most in activations layer "
    )
    assert " at step0 → " in second
    assert third.startswith("Phases: 3 checkpoints are too few to tell phases (8 needed)")
    assert [one.section for one in contents.answer][:2] == ["checkpoints", "training"]


def test_what_stays_within_its_error_is_not_said_to_move(tmp_path):
    run = write_planted_run(tmp_path / "a.spectra.h5", steps=[0, 10], losses=[4.0, 3.9], noise=0.3)
    (moved,) = [one for one in texts(told(run)) if one.startswith("Effective rank")]
    assert moved == "Effective rank of activations: was not shown to move in any of 2 layers."


def test_one_checkpoint_is_told_as_one(tmp_path):
    run = write_planted_run(tmp_path / "a.spectra.h5", steps=[7], losses=[4.0])
    contents = told(run)
    assert contents.question == "What is inside a?"
    assert texts(contents) == ["Probe loss 4 at step7."]
    assert [one.name for one in contents.sections] == []


def test_a_run_without_a_loss_says_so(tmp_path):
    run = write_planted_run(tmp_path / "a.spectra.h5", steps=[0, 5])
    assert texts(told(run))[0] == "2 checkpoints, from step0 to step5, 5k tokens; no loss is known."


def test_runs_that_differ_are_told_where_and_above_which_noise(planted):
    contents = told(*planted)
    assert contents.question == "What differs inside a and b?"
    first, second, *_ = texts(contents)
    assert first.startswith("b differs from a at equal loss (")
    assert first.endswith("beyond the probe's noise and corrected for all that was looked at.")
    assert second.startswith("Residual stream of layers 0-2: ")
    assert contents.answer[0].section == "compare"
    assert texts(contents)[-1] == (
        "Whether the change is learning-side or execution-side is open (checkpoint-level, at loss 3): "
        "gradients: not measured in both runs; scan both with them."
    )
    assert contents.answer[-1].is_caveat


def test_runs_that_are_not_shown_to_differ_say_what_it_would_take(tmp_path):
    steps, losses = [0, 10, 20], [4.0, 3.5, 3.0]
    one = write_planted_run(tmp_path / "a.spectra.h5", steps=steps, losses=losses, noise=0.3, seed=1)
    two = write_planted_run(tmp_path / "b.spectra.h5", steps=steps, losses=losses, noise=0.3, seed=2)
    contents = told(one, two)
    assert texts(contents)[0].startswith("b was not shown to differ from a at equal loss (")
    assert any("four times as many sequences" in one for one in texts(contents, caveats=True))


def test_runs_without_a_common_loss_have_a_page_that_says_why(tmp_path):
    one = write_planted_run(tmp_path / "a.spectra.h5", steps=[0, 10, 20], losses=[9.0, 8.5, 8.0])
    two = write_planted_run(tmp_path / "b.spectra.h5", steps=[0, 10, 20], losses=[4.0, 3.5, 3.0])
    contents = told(one, two)
    first, *of_each = texts(contents)
    assert first == "These runs could not be compared as asked: nothing is said of their difference."
    assert [one.partition(": Probe loss fell from ")[0] for one in of_each if "Probe loss" in one] == [
        "a",
        "b",
    ]
    assert "no loss in common" in texts(contents, caveats=True)[0]
    assert contents.sections[0].figure is None
    assert contents.sections[0].reason


def test_a_path_needs_two_values(planted):
    (run,) = open_runs(planted[:1])
    site = run.checkpoint(0).spectra[0].site
    assert path_of({}, site, 4) is None


def test_what_has_no_errors_is_not_judged_unless_it_is_exact(tmp_path):
    run = write_planted_run(tmp_path / "a.spectra.h5", steps=[0, 9], losses=[3.0, 3.0], exponents=[1.0, 2.0])
    loss, rank = texts(told(run))[:2]
    assert loss.startswith("Probe loss was not shown to move from 3 to 3, ")
    assert rank == "Effective rank of activations: no standard errors, by which a change could be judged."


def test_what_is_exact_turns_where_a_twentieth_of_it_moves():
    assert path([10.0, 9.9, 10.0], errors=0.0).turn is None
    assert path([10.0, 9.0, 10.0], errors=0.0).turn == 1


def test_checkpoints_without_a_step_are_told_by_their_place(tmp_path):
    run = write_planted_run(
        tmp_path / "a.spectra.h5", steps=[None], losses=[3.0], tokens_a_step=None, noise=0.1
    )
    assert texts(told(run))[0].startswith("Probe loss 3")


def test_runs_stand_beside_each_other_by_a_loss_that_all_have(tmp_path, planted):
    assert told(*planted).loss is Loss.PROBE
    common = {"steps": [0, 10, 20], "noise": 0.02}
    one = write_planted_run(
        tmp_path / "a.spectra.h5", losses=[4.0, 3.5, 3.0], train_loss=[4.1, 3.6, 3.1], seed=1, **common
    )
    two = write_planted_run(tmp_path / "b.spectra.h5", train_loss=[4.2, 3.7, 3.2], seed=2, **common)
    none = write_planted_run(tmp_path / "c.spectra.h5", seed=3, **common)
    assert told(one, two).loss is Loss.TRAIN
    assert told(one, none).loss is None


def test_a_trend_with_batch_size_counts_what_rises_or_falls(tmp_path):
    common = {"steps": [0, 10, 20], "losses": [4.0, 3.5, 3.0], "noise": 0.05}
    runs = [
        write_planted_run(
            tmp_path / f"r{size}.spectra.h5",
            exponents=1.0,
            batch_size_tokens=size,
            digest=[f"{size}-{step}" for step in range(3)],
            seed=size,
            **common,
        )
        for size in (8, 16, 32)
    ]
    (told_of,) = [one for one in texts(told(*runs)) if "batch size" in one]
    trends = compare(CompareRequest(runs=tuple(runs))).trend.trends
    clear = [one for one in trends if one.verdict in (Direction.RISING, Direction.FALLING)]
    assert len(clear) < len(trends)
    assert told_of == f"{len(clear)} of {len(trends)} numbers rise or fall with batch size over the runs."
