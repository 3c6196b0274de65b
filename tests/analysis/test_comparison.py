"""Comparisons of archives on disk: synthetic runs with known truth."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spectra_cli.analysis.compare.decisions import Verdict
from spectra_cli.analysis.compare.differences import Choice, SiteLeftOut
from spectra_cli.analysis.comparison import CompareRequest, last_point_only, left_out_notes
from spectra_cli.analysis.run import Axis, Loss
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import ArchiveError, DataError, UsageError
from spectra_cli.core.types import Scalar, Site
from spectra_cli.workflows.compare import compare
from tests.builders.checkpoints import checkpoint
from tests.builders.provenance import provenance
from tests.builders.spectra import spectrum_of_rows, weight

NAMES = ("a", "b")


def left(number, *, of_second=True, measurement="weight", reason="why"):
    return [
        SiteLeftOut(
            of_second=of_second,
            measurement=measurement,
            site=Site.parse(f"blocks.{i}.attn.o"),
            reason=reason,
        )
        for i in range(number)
    ]


def test_places_that_were_left_out_for_one_reason_are_one_note():
    # at two points
    found = [*left(2), *left(2), *left(8, of_second=False), *left(1, reason="other")]
    six = ", ".join(f"{i}.attn.o" for i in range(6))
    assert left_out_notes(found, NAMES) == [
        "not compared: weight of b at 0.attn.o, 1.attn.o: why",
        f"not compared: weight of a at {six} and 2 more places: why",
        "not compared: weight of b at 0.attn.o: other",
    ]
    assert left_out_notes([], NAMES) == []


def test_weights_at_the_last_point_alone():
    choice = Choice(measurements=("activation_covariance", "weight", "weight_update"))
    (note,) = last_point_only(choice, 5, at_every_point=False)
    assert note.startswith("weight and weight_update: compared at the last point alone")
    assert last_point_only(choice, 1, at_every_point=False) == []
    assert last_point_only(choice, 5, at_every_point=True) == []
    assert last_point_only(Choice(measurements=("gradient_covariance",)), 5, at_every_point=False) == []


B, N, D = 16, 1024, 64
LOSS_NOISE = 0.04


def write_run(
    path: Path,
    *,
    losses: tuple[float, ...] = (7.0, 5.0, 4.0, 3.0),
    shift: float = 0.0,
    probe: int = 0,
    num_layers: int = 2,
    width: int = D,
    weights_only: bool = False,
    activations: tuple[int, ...] | None = None,
    loss_block: int = 4,
    bend: float = 0.0,
    settings: dict[str, Any] | None = None,
    **info: Any,
) -> Path:
    """A run whose exponents rise as its loss falls; `shift` is added to all of them.

    The probe is the noise: two runs of one `probe` share it, block by block. The exponents bend with the loss
    by `bend`; of `activations` alone there are layers; a block of the loss has `loss_block` sequences.
    """
    noise = np.random.default_rng([7, probe])
    rows = noise.normal(size=(num_layers, N, width))
    loss_noise = LOSS_NOISE * noise.normal(size=B)
    checkpoints = []
    for number, loss in enumerate(losses):
        exponent = 2.2 - 0.2 * loss + shift + bend * (loss - 4.0) ** 2
        scales = np.arange(1, width + 1) ** (-exponent / 2)
        measured = range(num_layers) if activations is None else activations
        spectra = [spectrum_of_rows(rows[i] * scales, f"blocks.{i}.resid_post") for i in measured]
        values = np.sort(np.random.default_rng([number, len(path.name)]).gamma(2.0, size=64))[::-1]
        matrix = weight(values)
        scalar = Scalar(
            name="probe_loss",
            site=None,
            measurement="probe",
            value=loss + loss_noise.mean(),
            unit="nats/token",
            delete_one_block=loss + (loss_noise.sum() - loss_noise) / (B - 1),
            block_sizes=(loss_block,) * B,
        )
        step = 10 * number
        facts = {"num_parameters": 100, "family": "f", "architecture": "A", "tokens_seen": step * 64}
        made = checkpoint(
            (matrix,) if weights_only else (*spectra, matrix),
            () if weights_only else (scalar,),
            run=path.stem,
            step=step,
            uri=str(path.parent / path.name.removesuffix(".spectra.h5") / str(step)),
            provenance=provenance(settings=settings, digest=f"{probe:064d}", sequence_length=16),
            **(facts | {"digest": f"{path.stem}{step}", "fingerprint": f"{path.stem}{step}"} | info),
        )
        checkpoints.append(made)
    write_archive(path, checkpoints)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch) -> Callable[..., str]:
    """Write a run of this name into the working directory; its name as a user gives it."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, **changes: Any) -> str:
        return write_run(tmp_path / f"{name}.spectra.h5", **changes).name

    return make


def compared(*runs: str, **changes: Any):
    return compare(CompareRequest(runs=runs, **changes))


def test_equal_runs_show_no_difference(run):
    found = compared(run("a"), run("b"))
    assert found.pairs[0].counts.different == 0
    assert found.pairs[0].verdict[0].startswith("no difference")
    tally = found.pairs[0].counts
    assert (tally.different, tally.inconclusive, tally.missing) == (0, 0, 0)


@pytest.mark.parametrize("other", ["./a.spectra.h5", "copy.spectra.h5"])
def test_an_archive_is_not_compared_with_itself_or_with_its_copy(run, tmp_path, other):
    """Nor with a copy made before the last checkpoint came: it holds nothing that the other one lacks."""
    run("a", losses=(7.0, 5.0, 4.0))
    shutil.copy(tmp_path / "a.spectra.h5", tmp_path / "copy.spectra.h5")
    run("a")
    with pytest.raises(
        UsageError, match=r"a\.spectra\.h5 and .* are .*the same archive.*: there is nothing to compare"
    ):
        compared("a.spectra.h5", other)


def test_a_planted_shift_is_found_at_its_layers_with_its_sign_and_its_size(run):
    found = compared(run("a"), run("b", shift=0.3))
    pair = found.pairs[0]
    assert pair.verdict[0].startswith("residual stream of layers 0-1")
    for one in pair.differences:
        if one.statistic == "tail_exponent_scaled":
            # the rows differ by j^-0.15 exactly; sampling bends it by less than a tenth
            assert one.found.delta == pytest.approx(0.3, rel=0.1)
            assert one.is_different


def test_interpolation_at_equal_loss_undoes_a_different_schedule(run):
    """The exponent depends on the loss alone: at equal loss nothing differs, at equal steps all does."""
    names = run("a"), run("b", losses=(7.0, 4.5, 3.7, 3.2))
    at_loss = compared(*names)
    assert at_loss.pairs[0].counts.different == 0
    at_step = compared(*names, axis=Axis.STEP)
    assert at_step.pairs[0].counts.different > 0
    assert at_loss.alignment.loss is Loss.PROBE


def test_the_same_run_on_another_probe_is_no_difference_and_is_flagged(run):
    names = run("a"), run("b", probe=1)
    with pytest.raises(DataError, match=r"probe: .*--allow probe"):
        compared(*names)
    found = compared(*names, allowed=("probe",))
    (pair,) = found.pairs
    assert not pair.paired
    assert pair.counts.different == 0
    assert pair.notes[0].startswith("measured differently (probe)")


@pytest.mark.slow
def test_other_probes_make_a_difference_in_at_most_one_case_in_twenty(run, monkeypatch):
    """With a loss as noisy as the spectra: 0.1 nats, which is 0.02 in the exponents."""
    monkeypatch.setitem(globals(), "LOSS_NOISE", 0.4)
    pairs = [[run(f"p{i}", probe=i, losses=(5.0, 4.0, 3.0)) for i in (2 * n, 2 * n + 1)] for n in range(50)]
    chosen = Choice(measurements=("activation_covariance",))
    wrong = sum(
        compared(*pair, allowed=("probe",), choice=chosen).pairs[0].counts.different > 0 for pair in pairs
    )
    # of 50, six or more have a chance of 4 % at a rate of one in twenty
    assert wrong <= 5


def test_a_folder_that_was_scanned_finds_its_archive(run, tmp_path):
    run("a")
    run("b")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert [r.name for r in compared("a", "b").runs] == ["a", "b"]


def test_a_lone_checkpoint_is_compared_at_its_loss(run):
    found = compared(run("a"), run("lone", losses=(3.5,)))
    (point,) = found.alignment.points
    assert (round(point.target, 1), point.gap) == (3.5, 0.0)
    apart = compared("lone.spectra.h5", run("other", losses=(3.8,)))
    assert not apart.alignment.is_matched
    assert apart.alignment.points[0].gap == pytest.approx(0.3)


def test_archives_of_weights_alone_have_no_loss_to_align_on(run):
    names = run("a", weights_only=True), run("b", weights_only=True)
    with pytest.raises(DataError, match=r"a has none; b has none.*--align step"):
        compared(*names)
    found = compared(*names, axis=Axis.STEP)
    (pair,) = found.pairs
    assert pair.counts.judged == 0
    assert "without probe noise" in pair.verdict[0]
    assert pair.taxonomy == ()


def test_other_depths_and_widths_are_compared_at_relative_places_and_say_so(run):
    found = compared(run("a", num_layers=2), run("b", num_layers=3, width=96), number=1)
    (pair,) = found.pairs
    layers = {(d.site.layer, d.other.layer) for d in pair.differences if d.measurement != "weight"}
    assert layers == {(0, 0), (1, 2)}
    names = {d.statistic for d in pair.differences if d.measurement != "weight"}
    assert {"tail_exponent_scaled_frac", "log_rankme_cov_frac", "jensen_shannon_frac"} <= names
    assert any("relative depth" in note for note in pair.notes)
    assert any("relative rank" in note for note in pair.notes)


def test_three_runs_against_a_baseline_with_their_trend(run):
    sizes = {"a": 1000, "b": 2000, "c": 4000}
    names = [run(name, shift=0.1 * i, batch_size_tokens=size) for i, (name, size) in enumerate(sizes.items())]
    found = compared(*names, baseline=names[1])
    assert found.baseline == 1
    assert [(p.first, p.second) for p in found.pairs] == [(1, 0), (1, 2)]
    assert found.trend.reason == ""
    tails = [t for t in found.trend.trends if t.of.statistic == "tail_exponent_scaled"]
    assert tails
    # 0.1 a doubling, sampled
    assert all(t.slope == pytest.approx(0.1, rel=0.15) for t in tails)
    (two,) = {p.first for p in compared(*names[:2]).pairs}
    assert two == 0


def test_three_runs_without_batch_sizes_say_why_there_is_no_trend(run):
    found = compared(run("a"), run("b"), run("c"), number=1)
    assert "do not say their batch size" in found.trend.reason
    assert found.trend.trends == ()


def test_the_taxonomy_stands_at_every_point_unless_the_user_chose(run):
    names = run("a", num_layers=3), run("b", num_layers=3)
    found = compared(*names)
    assert len(found.pairs[0].taxonomy) == 5
    assert {d.statistic for d in found.pairs[0].differences} > {"head_movement"}
    chosen = compared(*names, choice=Choice(statistics=("rankme_cov",)))
    assert chosen.pairs[0].taxonomy == ()


def test_replicates_make_it_about_recipes(run):
    names = [run(name, num_layers=3) for name in "abcd"]
    found = compared(*names, replicates=tuple(names[1:3]), number=1)
    assert found.pairs[2].taxonomy[0].confidence == "seed-verified"
    assert found.pairs[0].taxonomy[0].confidence == "checkpoint-level"


def test_directions_are_not_compared_between_different_initialisations(run):
    found = compared(run("a"), run("b"))
    assert "different initialisation" in found.pairs[0].no_rotation


WRONG = {
    "one run": ({"runs": ("a.spectra.h5",)}, UsageError, "two runs or more"),
    "no such archive": ({"runs": ("a.spectra.h5", "nowhere")}, ArchiveError, "nowhere"),
    "no such statistic": ({"choice": Choice(statistics=("alpha",))}, UsageError, "alpha"),
    "no such layer": ({"choice": Choice(layers=(9,))}, UsageError, "of layers 9.*holds layers 0, 1"),
    "no such measurement": (
        {"choice": Choice(measurements=("gradient_covariance",))},
        DataError,
        "no measurement in common",
    ),
    "no such baseline": ({"baseline": "c"}, UsageError, "--baseline c"),
    "no such replicate": ({"replicates": ("c",)}, UsageError, "--replicates c"),
    "a replicate twice": ({"replicates": ("b.spectra.h5",) * 2}, UsageError, "names a run twice"),
    "a replicate under two spellings": (
        {"replicates": ("b.spectra.h5", "./b.spectra.h5")},
        UsageError,
        "names a run twice",
    ),
    "the baseline as a replicate": ({"replicates": ("a",)}, UsageError, "names the baseline itself"),
    "no points given": ({"at": ()}, UsageError, "--at nothing: expected different numbers"),
    "a point twice": ({"at": (4.0, 4.0)}, UsageError, "--at 4,4: expected different numbers"),
    "a point that is no number": ({"at": (math.nan,)}, UsageError, "--at nan"),
    "no throughput": ({"throughput_ratio": 0.0}, UsageError, "--throughput-ratio 0: expected a ratio above"),
    "no points": ({"number": 0}, UsageError, "--points 0"),
    "no such loss": ({"loss": Loss.TRAIN}, DataError, "not every run has a train loss"),
    "points out of reach": ({"at": (2.0,)}, DataError, "never stands at loss 2"),
}


def test_weights_are_compared_at_the_last_point_and_that_is_said(run):
    names = run("a"), run("b")
    pair = compared(*names).pairs[0]
    assert len({d.target for d in pair.differences if d.measurement == "weight"}) == 1
    assert sum("weight: compared at the last point alone" in note for note in pair.notes) == 1
    chosen = Choice(measurements=("activation_covariance", "weight"))
    for changes, number in (({"choice": chosen}, 5), ({"number": 1}, 1)):
        pair = compared(*names, **changes).pairs[0]
        assert len({d.target for d in pair.differences if d.measurement == "weight"}) == number
        assert not any("last point alone" in note for note in pair.notes)


def test_a_taxonomy_that_was_asked_for_and_is_impossible_says_why(run):
    names = run("a"), run("b")
    for changes, why in (
        ({"choice": Choice(layers=(0,))}, "leave out --layer"),
        ({"axis": Axis.STEP}, "compared at equal step"),
    ):
        silent = compared(*names, **changes).pairs[0]
        assert silent.taxonomy == ()
        assert why in silent.no_taxonomy
        assert not any(why in note for note in silent.notes)
        asked = compared(*names, throughput_ratio=1.1, **changes).pairs[0]
        assert any(note.startswith("no taxonomy") and why in note for note in asked.notes)


def test_what_one_run_alone_has_is_named_once(run):
    pair = compared(run("a", num_layers=3), run("b", num_layers=3, activations=(0, 2))).pairs[0]
    (note,) = (note for note in pair.notes if "not compared" in note)
    assert note == ("not compared: activation_covariance of a at 1.resid_post: the other run has none there")
    assert {d.site.layer for d in pair.differences if d.measurement != "weight"} == {0, 2}


def test_a_loss_of_more_sequences_than_the_spectra_is_combined_in_quadrature_and_that_is_said(run):
    """Its first 64 sequences are the spectra's, dealt into other blocks."""
    same, more = (
        compared(*(run(f"{name}{size}", loss_block=size) for name in "ab"), number=1).pairs[0]
        for size in (4, 8)
    )
    assert not any("independent" in note for note in same.notes)
    notes = [note for note in more.notes if "independent" in note]
    assert len(notes) == 2
    assert "the loss is of 128 sequences, activation_covariance of 64 sequences" in notes[0]


@pytest.mark.parametrize("bend", [0.0, 0.05])
def test_what_interpolation_may_have_got_wrong_is_no_difference(run, bend):
    """Exponents that are a parabola of the loss: between checkpoints, two schedules miss each other."""
    names = run("a", bend=bend, losses=(7.0, 5.0, 4.0, 3.0)), run("b", bend=bend, losses=(7.0, 4.6, 3.5, 2.9))
    pair = compared(*names).pairs[0]
    heads = [d for d in pair.differences if d.statistic == "tail_exponent_scaled"]
    off = max(abs(d.found.delta) for d in heads)
    assert pair.counts.different == 0
    if bend:
        assert off > 0.01
        assert all(abs(d.found.delta) <= 1.5 * d.interpolated for d in heads if abs(d.found.delta) > 0.005)
    else:
        assert off < 5e-3
        assert all(d.found.verdict is Verdict.EQUAL for d in heads)


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_compared_is_said(run, case):
    run("a")
    run("b")
    changes, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        compare(CompareRequest(**({"runs": ("a.spectra.h5", "b.spectra.h5")} | changes)))


def test_only_the_checkpoints_around_the_points_are_read(run, monkeypatch):
    names = run("a", losses=tuple(7.0 - 0.3 * i for i in range(12))), run("b")
    archive = open_archive(Path("a.spectra.h5"))
    read: list[int] = []
    plain = type(archive).checkpoints

    def counted(self, indices, **changes):
        read.extend(indices)
        return plain(self, indices, **changes)

    monkeypatch.setattr(type(archive), "checkpoints", counted)
    found = compared(*names, number=2)
    assert len(read) <= 2 * 2 * 2
    assert not math.isnan(found.pairs[0].differences[0].found.delta)
