"""Where runs stand: interpolated, nearest for lone checkpoints, and never extrapolated."""

import pytest

from spectra_cli.analysis.alignment import align, resolved
from spectra_cli.analysis.brackets import at_loss
from spectra_cli.analysis.run import Axis, Loss
from spectra_cli.core.errors import DataError
from tests.builders.runs import planted_run

NAN = float("nan")


A = planted_run("a", [10.0, 5.0, 4.0, 3.0], steps=[0, 10, 20, 30], tokens=[0, 1, 2, 3])
B = planted_run("b", [10.0, 4.5, 3.5], steps=[0, 15, 40], tokens=[0, 3, 8])


def test_points_run_from_early_to_late_and_end_where_the_worst_run_ends():
    found = align([A, B], Axis.LOSS)
    targets = [point.target for point in found.points]
    assert targets == sorted(targets, reverse=True)
    assert len(targets) == 5
    assert targets[-1] == 3.5
    assert found.loss is Loss.PROBE
    assert found.is_matched


def test_each_run_is_interpolated_to_the_target_exactly():
    for point in align([A, B], Axis.LOSS).points:
        for run, place in zip((A, B), point.places, strict=True):
            losses, bracket = run.losses(Loss.PROBE), place.bracket
            reached = bracket.between(losses[bracket.before], losses[bracket.after])
            assert float(reached) == pytest.approx(point.target, rel=1e-12)


def test_steps_and_tokens():
    by_step, by_tokens = align([A, B], Axis.STEP, number=3), align([A, B], Axis.TOKENS, number=3)
    assert (by_step.points[-1].target, by_tokens.points[-1].target) == (30.0, 3.0)
    assert (by_step.loss, by_step.is_matched) == (None, True)
    assert by_tokens.points[-1].places[1].bracket.after == 1


def test_unknown_steps_are_left_out_of_the_line():
    gappy = planted_run("gappy", [9.0, 8.0, 7.0], steps=[0, NAN, 20])
    (point,) = align([gappy, A], Axis.STEP, at=[10.0]).points
    bracket = point.places[0].bracket
    assert (bracket.before, bracket.after, bracket.share) == (0, 2, 0.5)


def test_a_lone_checkpoint_is_the_target_and_the_others_come_to_it():
    lone = planted_run("lone", [4.2])
    found = align([A, lone], Axis.LOSS)
    (point,) = found.points
    assert (point.target, point.gap) == (4.2, 0.0)
    assert "single checkpoint in lone" in found.notes[0]


def test_two_lone_checkpoints_are_matched_only_within_a_hundredth_of_a_nat():
    near = align([planted_run("a", [4.2]), planted_run("b", [4.209])], Axis.LOSS)
    far = align([planted_run("a", [4.2]), planted_run("b", [4.25])], Axis.LOSS)
    assert (near.is_matched, far.is_matched) == (True, False)
    assert far.points[0].gap == pytest.approx(0.05)


def test_a_lone_checkpoint_out_of_reach_gets_the_nearest_one_with_the_gap():
    (point,) = align([planted_run("lone", [2.5]), A], Axis.LOSS).points
    assert point.places[1].bracket.before == 3
    assert point.gap == pytest.approx(0.5)


def test_losses_that_do_not_overlap_say_how_far_apart_they_are():
    high = planted_run("high", [10.0, 9.5, 9.0])
    low = planted_run("low", [10.0, 4.0, 3.0])
    with pytest.raises(DataError, match=r"high, low: .*5\.0000 nats apart"):
        align([high, low], Axis.LOSS)


def test_runs_that_begin_trained_are_compared_from_their_first_checkpoint_on():
    losses = [2.95, 2.6, 2.11], [3.0, 2.9, 2.82]
    begun = [
        planted_run("a", losses[0], steps=[500, 600, 700]),
        planted_run("b", losses[1], steps=[500, 600, 700]),
    ]
    assert align(begun, Axis.LOSS).points[-1].target == 2.82
    new = [planted_run(n, of, steps=[0, 600, 700]) for n, of in zip("ab", losses, strict=True)]
    with pytest.raises(DataError, match=r"a, b: .* --at 2\.8200"):
        align(new, Axis.LOSS)
    assert align(new, Axis.LOSS, at=[2.82]).points[0].places[0].bracket.before == 0


def test_the_loss_is_the_first_that_all_runs_have():
    a = planted_run("a", [10.0, 5.0, 4.0], validation=[10.0, 5.1, 4.1])
    b = planted_run("b", [NAN, NAN, NAN], validation=[10.0, 5.2, 4.2])
    assert align([a, b], Axis.LOSS).loss is Loss.VALIDATION
    with pytest.raises(DataError, match="not every run has a probe loss: a has probe, validation; b has val"):
        align([a, b], Axis.LOSS, loss=Loss.PROBE)
    with pytest.raises(DataError, match="--align step or tokens"):
        align([A, b], Axis.LOSS)


def test_points_that_are_asked_for_must_be_reached_by_all():
    assert [p.target for p in align([A, B], Axis.LOSS, at=[3.8, 4.4]).points] == [4.4, 3.8]
    with pytest.raises(DataError, match=r"b never stands at loss 3.1: its checkpoints span 3.5 to 10"):
        align([A, B], Axis.LOSS, at=[3.1])


def test_a_run_that_does_not_say_its_tokens_cannot_be_aligned_on_them():
    with pytest.raises(DataError, match="c does not say its tokens"):
        align([A, planted_run("c", [5.0, 4.0], steps=[0, 1])], Axis.TOKENS)
    with pytest.raises(DataError, match="steps of c do not increase"):
        align([A, planted_run("c", [5.0, 4.0], steps=[1, 1])], Axis.STEP)


DENSE = [10.0, 5.0, 4.03, 4.02, 4.01, 4.0, 3.99, 3.98, 3.0]


@pytest.mark.parametrize("target", [4.005, 3.985, 4.8, 3.5])
def test_a_bracket_is_as_wide_as_the_noise_of_the_loss_and_reaches_the_target(target):
    narrow = at_loss(DENSE, target)
    for stderr in (0.0, 0.001, 0.02):
        bracket = resolved(DENSE, narrow, target, stderr)
        first, second = DENSE[bracket.before], DENSE[bracket.after]
        assert first - second >= min(2 * stderr, first - 3.0) - 1e-12
        assert first >= target >= second
        assert float(bracket.between(first, second)) == pytest.approx(target, rel=1e-12)
    assert resolved(DENSE, narrow, target, 0.001) == narrow


def test_at_the_end_of_a_run_a_bracket_widens_backwards():
    bracket = resolved(DENSE[:8], at_loss(DENSE[:8], 3.98), 3.98, 0.02)
    assert (bracket.before, bracket.after, bracket.share) == (3, 7, 1.0)
    assert resolved([4.01, 4.0], at_loss([4.01, 4.0], 4.0), 4.0, 1.0).before == 0
