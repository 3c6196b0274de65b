from __future__ import annotations

import math

import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import ArchiveError, UsageError
from spectra_cli.workflows.show import show
from spectra_cli.workflows.validate import validate


def test_an_archive_is_found_by_its_path_and_by_the_folder_it_came_from(archive, place):
    assert show(str(archive)).path == show("run").path == show(str(place / "run")).path


def test_the_series_comes_in_order_with_statistics(archive):
    series = show(str(archive)).series
    assert [c.ref.step for c in series] == [0, 10, 20]
    for checkpoint in series:
        assert {s.step for s in checkpoint.statistics} == {checkpoint.ref.step}
        assert {"probe_loss", "rankme_cov", "stable_rank"} <= {s.name for s in checkpoint.statistics}
        assert all(s.reason for s in checkpoint.statistics if not math.isfinite(s.value))


def test_steps_layers_and_statistics_select(archive):
    summary = show(str(archive), steps=[20], layers=[1], statistics=["rankme_cov"])
    (checkpoint,) = summary.series
    assert checkpoint.ref.step == 20
    assert {s.name for s in checkpoint.statistics} == {"rankme_cov"}
    assert {s.site.layer for s in checkpoint.statistics if s.site} == {1}
    assert summary.asked_for == ("rankme_cov",)


def test_a_selection_changes_no_number(archive):
    everything = {
        (s.name, s.measurement, s.site, s.step): (s.value, s.stderr)
        for c in show(str(archive)).series
        for s in c.statistics
    }
    for s in show(str(archive), steps=[10], layers=[0], statistics=["rankme_cov"]).series[0].statistics:
        assert everything[s.name, s.measurement, s.site, s.step] == (s.value, s.stderr)


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({"steps": [5]}, r"no step 5; it holds 0, 10, 20"),
        ({"layers": [7]}, r"no layer 7; it holds 0, 1"),
        ({"statistics": ["alpha"]}, r"alpha.*rankme_cov"),
    ],
)
def test_what_an_archive_does_not_hold_is_refused_with_what_it_holds(archive, selection, words):
    with pytest.raises(UsageError, match=words):
        show(str(archive), **selection)


@pytest.mark.parametrize("steps", [[10, 5], [0, 10, 20, 30]])
def test_one_missing_step_is_named_though_others_are_there(archive, steps):
    with pytest.raises(UsageError, match=r"no step [53]0?;"):
        show(str(archive), steps=steps)


def test_no_archive_says_what_was_looked_for(place):
    with pytest.raises(ArchiveError, match=r"run\.spectra\.h5"):
        show("run")


def test_text_and_paths_name_an_archive_alike(archive):
    for name in (str(archive), archive):
        assert show(name).path == archive
        assert validate(name).path == archive
        assert len(open_archive(name)) == 3
