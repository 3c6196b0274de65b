from __future__ import annotations

import math
from dataclasses import replace

import pytest

from spectra_cli.core.types import Site, StatisticValue, Status
from spectra_cli.render.forms.terminal import PIPE_WIDTH
from spectra_cli.render.tables.show import (
    cell,
    checkpoint_tables,
    heading,
    series_table,
    statistic_table,
)


def test_the_summary_of_an_archive_reads_as_agreed(provenance, checkpoints, printed, golden):
    text = printed(
        *heading("a.spectra.h5", provenance(), checkpoints),
        series_table(checkpoints),
        *checkpoint_tables(checkpoints[-1], preset="default"),
    )
    assert all(len(line) <= PIPE_WIDTH for line in text.splitlines())
    golden("summary.txt", text)


def test_one_statistic_over_the_series_reads_as_agreed(checkpoints, printed, golden):
    golden("statistic.txt", printed(statistic_table("rankme_cov", checkpoints)))


def test_a_synthetic_probe_is_called_meaningless(provenance, checkpoints, printed):
    assert "synthetic probe" not in printed(*heading("a", provenance(), checkpoints))
    assert "synthetic probe" in printed(*heading("a", provenance(synthetic=True), checkpoints))


def test_every_mark_in_a_table_is_explained_below_it(checkpoints, printed):
    text = " ".join(printed(*checkpoint_tables(checkpoints[-1], preset="default")).split())
    for status, reason in (
        ("unresolved", "9 rows resolve 9 of 64 directions"),
        ("partial", "the window was cut to 24 values"),
        ("zero", "the gradient is zero in all 16 sequences"),
    ):
        assert status in text
        assert reason in text


def test_a_note_says_when_its_reason_is_not_the_only_one(checkpoints, printed):
    last = checkpoints[-1]
    marked = next(v for v in last.statistics if v.status is Status.UNRESOLVED and v.site is not None)
    again = replace(marked, site=replace(marked.site, layer=9), reason="another reason")
    both = replace(last, statistics=(*last.statistics, again))
    one = " ".join(printed(*checkpoint_tables(last, preset="default")).split())
    two = " ".join(printed(*checkpoint_tables(both, preset="default")).split())
    assert "reasons" not in one
    assert f"{marked.reason} (first of 2 reasons; --format csv has them all)" in two


@pytest.mark.parametrize(("row", "mark"), [("0 ", "[u]"), ("1 ", "*"), ("0.attn.o ", "[z]")])
def test_the_marks_stand_in_the_table_itself(checkpoints, printed, row, mark):
    lines = printed(*checkpoint_tables(checkpoints[-1], preset="default")).splitlines()
    assert any(line.strip().startswith(row) and mark in line for line in lines)


def test_skipped_matrices_are_shown_with_their_reason(checkpoints, printed):
    text = " ".join(printed(*checkpoint_tables(checkpoints[-1], preset="default")).split())
    assert "not measured (gradient)" in text
    assert "blocks.0.attn.v" in text
    assert "2 more" in text  # six were skipped, four are named
    assert "this block has no attention" in text


def test_paper_compat_shows_the_uncentred_spectrum(checkpoints, printed):
    last = checkpoints[-1]
    value = next(s for s in last.statistics if s.measurement == "gradient_covariance" and s.site is not None)
    public = replace(value, measurement="gradient_matrix", name="tail_exponent_30_150")
    shown = replace(last, statistics=(*last.statistics, public), skipped=())
    assert "uncentred" in printed(*checkpoint_tables(shown, preset="paper-compat"))
    assert "uncentred" not in printed(*checkpoint_tables(shown, preset="default"))


def test_nothing_skipped_says_nothing(checkpoints, printed):
    shown = replace(checkpoints[-1], skipped=())
    assert "not measured" not in printed(*checkpoint_tables(shown, preset="default"))


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_a_cell_shows_every_status_that_is_not_ok(value, status):
    number = 1.25 if status.has_value else float("nan")
    marked = cell(value("x", "blocks.0.attn.q", number, status=status, reason="because"))
    plain = cell(value("x", "blocks.0.attn.q", 1.25))
    assert marked
    assert marked != plain


def test_cells_of_different_statuses_differ(value):
    marks = {
        cell(value("x", "embed", 1.25 if s.has_value else float("nan"), status=s, reason="because"))
        for s in Status
    }
    assert len(marks) == len(Status)


def test_a_missing_statistic_is_an_empty_cell():
    assert cell(None) == ""


def test_a_long_series_keeps_to_the_width_and_says_what_it_leaves_out(checkpoints, printed):
    first = checkpoints[0]
    many = [replace(first, ref=replace(first.ref, step=1_000_000 + 1000 * i)) for i in range(20)]
    text = printed(statistic_table("rankme_cov", many))
    assert all(len(line) <= PIPE_WIDTH for line in text.splitlines())
    assert "1019000" in text  # the last checkpoint
    shown = sum(str(1_000_000 + 1000 * i) in text for i in range(20))
    assert f"{20 - shown} more" in text


@pytest.mark.parametrize("label", ["", "target_reached"])
def test_labels_of_checkpoints_are_told_apart(checkpoints, printed, label):
    first = checkpoints[0]
    text = printed(series_table([replace(first, ref=replace(first.ref, label=label))]))
    assert label in text


def test_no_number_is_cut_where_the_series_is_wide(checkpoints, printed):
    rows = []
    for one in checkpoints:
        known = replace(one.info, tokens_seen=6_140_000, train_loss=2.5, eval_loss=2.6, learning_rate=0.001)
        ref = replace(one.ref, step=1_500_000, label="target_reached")
        rows.append(replace(one, ref=ref, info=known))
    text = printed(series_table(rows))
    assert "…" not in text
    assert "2.5000" in text
    assert any(row.startswith("left out for want of room: learning rate") for row in text.splitlines())


def test_weights_alone_are_shown_over_the_series(checkpoints, printed):
    """Their mean over the matrices that have the number, where there is nothing else."""
    first = checkpoints[0]
    ranks = [
        StatisticValue(
            name="stable_rank",
            measurement="weight",
            site=Site.parse(f"blocks.{layer}.attn.q"),
            step=first.ref.step,
            value=value,
            stderr=math.nan,
            status=Status.OK,
        )
        for layer, value in enumerate((2.0, 3.0))
    ]
    text = printed(series_table([replace(first, statistics=tuple(ranks))]))
    assert "mean over the matrices of weights" in text
    assert "2.5" in text
    assert "mean over" not in printed(series_table(checkpoints))
