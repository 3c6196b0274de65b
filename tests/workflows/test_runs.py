"""Runs of a command: their names, one given twice, and whether they were measured alike."""

from __future__ import annotations

import pytest

from spectra_cli.analysis.run import notices_of
from spectra_cli.core.errors import ArchiveError, UsageError
from spectra_cli.workflows.runs import differing_scans, open_runs, place_among
from tests.builders.runs import planted_run


@pytest.fixture
def here(tmp_path, monkeypatch, write_run):
    """Write archives by name into the working directory and open them."""
    monkeypatch.chdir(tmp_path)

    def make(**runs):
        for name, values in runs.items():
            write_run(tmp_path / f"{name}.spectra.h5", **{"steps": [0, 1, 2], "losses": [3, 2, 1]} | values)
        return open_runs(list(runs))

    return make


@pytest.fixture
def two(here, write_run, tmp_path):
    """`a`, and another `a` in a folder of its own."""
    here(a={})
    (tmp_path / "below").mkdir()
    write_run(tmp_path / "below" / "a.spectra.h5", steps=[0, 1], losses=[3, 2], digest=["x", "y"])
    return ["a", "below/a.spectra.h5"]


def test_names_are_as_short_as_they_can_be_and_still_differ(two, tmp_path):
    assert [run.name for run in open_runs(two[:1])] == ["a"]
    assert [run.name for run in open_runs(two)] == [f"{tmp_path.name}/a", "below/a"]
    deep = tmp_path / "other" / "below"
    deep.mkdir(parents=True)
    (tmp_path / "below" / "a.spectra.h5").rename(deep / "a.spectra.h5")
    (tmp_path / "a.spectra.h5").rename(tmp_path / "below" / "a.spectra.h5")
    names = [run.name for run in open_runs([str(deep / "a.spectra.h5"), "below/a.spectra.h5"])]
    assert names == [str(deep / "a"), str(tmp_path / "below" / "a")]


def test_one_archive_named_twice_is_refused_with_what_follows(here):
    here(a={})
    with pytest.raises(UsageError, match=r"a and a.spectra.h5 are the same archive.*: leave one of them out"):
        open_runs(["a", "a.spectra.h5"])
    with pytest.raises(UsageError, match=r": nothing to compare"):
        open_runs(["a", "a.spectra.h5"], so="nothing to compare")


def test_an_archive_that_is_not_there_is_said(here):
    here(a={})
    with pytest.raises(ArchiveError, match="nowhere"):
        open_runs(["a", "nowhere"])


def test_what_was_measured_differently_is_named(here):
    a, b = here(
        a={"digest": "a"},
        b={"settings": {"pool": "last", "layers": "five"}, "probe_digest": "e" * 64, "digest": "b"},
    )
    found = differing_scans([a, b])
    assert [line.partition(":")[0] for line in found] == ["settings.pool", "probe.digest"]
    assert differing_scans([a, a]) == ()


def test_what_is_to_be_known_of_an_archive_is_said_by_name_where_there_are_several():
    a, b = planted_run("a", [3.0]), planted_run("b", [3.0])
    b.series.notices = ("unfinished", "a mixture")
    assert notices_of([b]) == ("unfinished", "a mixture")
    assert notices_of([a, b]) == ("b: unfinished", "b: a mixture")


def test_an_archive_is_the_same_however_it_is_spelled(two, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link.spectra.h5").symlink_to(tmp_path / "a.spectra.h5")
    spellings = ["a", "a/", "a.spectra.h5", "below/../a.spectra.h5", str(tmp_path / "a"), "link.spectra.h5"]
    for name in spellings[1:]:
        with pytest.raises(UsageError, match=r"a and .* are the same archive"):
            open_runs(["a", name])
    # a link gives the run its name
    assert [run.name for run in open_runs(["link.spectra.h5", "below/a.spectra.h5"])] == ["link", "a"]
    for name in spellings:
        assert place_among(["below/a.spectra.h5", "a"], name) == 1
        assert place_among(["below/a.spectra.h5"], name) is None
    assert place_among(["below/a.spectra.h5", "link.spectra.h5"], "a") == 1
    assert place_among(["a"], "nowhere") is None
