from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import ArchiveError, DataError, UsageError
from spectra_cli.workflows.run_series import (
    as_series,
    choose_sites,
    common_loss,
    common_measurement,
    common_unit,
    differing_scans,
    mean_over_layers,
    open_runs,
    tail_statistic,
)


@pytest.fixture
def here(tmp_path, monkeypatch, write_run):
    """Write archives by name into the working directory and open them as series."""
    monkeypatch.chdir(tmp_path)

    def make(**runs):
        for name, values in runs.items():
            write_run(tmp_path / f"{name}.spectra.h5", **{"steps": [0, 1, 2], "losses": [3, 2, 1]} | values)
        return open_runs(list(runs))

    return make


def archives(opened):
    return [archive for _, archive in opened]


def test_runs_are_named_by_their_archive_and_by_its_path_where_that_is_not_enough(tmp_path, write_run, here):
    here(a={})
    (tmp_path / "b").mkdir()
    write_run(tmp_path / "b" / "a.spectra.h5", steps=[1])
    runs = as_series(open_runs(["a", "b/a.spectra.h5"]), "steps")
    assert [run.name for run in runs] == [str(tmp_path / "a.spectra.h5"), str(tmp_path / "b/a.spectra.h5")]
    assert [run.name for run in as_series(open_runs(["a"]), "steps")] == ["a"]


def test_one_archive_named_twice_is_refused(here):
    here(a={})
    with pytest.raises(UsageError, match=r"a and a.spectra.h5 are the same archive"):
        open_runs(["a", "a.spectra.h5"])


def test_an_archive_that_is_not_there_is_said(here):
    here(a={})
    with pytest.raises(ArchiveError, match="nowhere"):
        open_runs(["a", "nowhere"])


def test_tokens_count_only_where_every_run_has_them(here):
    known, unknown = here(a={}, b={"tokens_a_step": None})
    assert common_unit(archives([known])) == "tokens"
    assert common_unit(archives([known, unknown])) == "steps"
    (run,) = as_series([known], "tokens")
    assert run.positions.tolist() == [0, 1000, 2000]
    assert run.steps.tolist() == [0, 1, 2]


def test_a_checkpoint_without_a_position_is_left_out_and_counted(here):
    (run,) = as_series(here(a={"steps": [5, 10, None]}), "tokens")
    assert run.positions.tolist() == [5000, 10000]
    assert run.num_left_out == 1
    assert run.losses("probe").tolist() == [3, 2]
    assert run.checkpoint(1).ref.step == 10


def test_no_position_at_all_says_what_to_do(here):
    with pytest.raises(DataError, match=r"no checkpoint says its steps.*run\.toml"):
        as_series(here(a={"steps": [None, None, None]}), "steps")


def test_losses_of_every_kind(here):
    (run,) = as_series(here(a={"eval_loss": [None, 2.5, 2.0], "train_loss": 1.5}), "tokens")
    assert run.losses("validation")[1:].tolist() == [2.5, 2.0]
    assert math.isnan(run.losses("validation")[0])
    assert run.losses("train").tolist() == [1.5] * 3


def test_the_first_loss_that_all_runs_have(here):
    runs = as_series(here(a={"eval_loss": 2.0}, b={"losses": None, "eval_loss": 2.0}), "tokens")
    assert common_loss(runs[:1], None) == "probe"
    assert common_loss(runs, None) == "validation"
    with pytest.raises(DataError, match="probe: not in b"):
        common_loss(runs, "probe")
    with pytest.raises(DataError, match=r"train: not in a, b"):
        common_loss(runs, "train")


@pytest.mark.parametrize(
    ("widths", "name"),
    [
        ([768, 768], "tail_exponent_30_150"),
        ([768, 1024], "tail_exponent_scaled"),
        ([64], "tail_exponent_scaled"),
    ],
)
def test_the_default_window_is_one_that_all_widths_share(widths, name):
    assert tail_statistic(None, widths).name == tail_statistic("tail_exponent", widths).name == name
    assert tail_statistic("stable_rank", widths).name == "stable_rank"


def test_a_statistic_that_is_not_there_names_those_that_are():
    with pytest.raises(UsageError, match=r"'alpha'.*rankme_cov"):
        tail_statistic("alpha", [64])


def test_layers_by_word_and_by_number(here):
    (run,) = as_series(here(a={"num_layers": 6}), "tokens")
    checkpoint, statistic = run.checkpoint(0), tail_statistic("rankme_cov", [64])

    def layers(which):
        chosen = choose_sites([checkpoint], statistic, which)
        assert mean_over_layers(checkpoint, statistic, chosen).layers == chosen.layers
        return chosen.layers

    assert [layers(w) for w in ("last", "last-third", "all", (0, 3))] == [
        (5,),
        (4, 5),
        tuple(range(6)),
        (0, 3),
    ]
    with pytest.raises(UsageError, match=r"no layer 9 .*holds 0, 1, 2, 3, 4, 5"):
        layers((2, 9))


def test_spectra_that_the_statistic_has_no_meaning_for(here):
    (run,) = as_series(here(a={}), "tokens")
    with pytest.raises(DataError, match=r"frobenius_norm needs spectra of weight.*activation_covariance"):
        choose_sites([run.checkpoint(0)], tail_statistic("frobenius_norm", [64]), "last")


def test_what_was_measured_differently_is_named(here):
    same = open_archive(here(a={})[0][0])
    other = open_archive(
        here(b={"settings": {"pool": "last", "layers": "five"}, "probe_digest": "e" * 64})[0][0]
    )
    found = differing_scans([same, other])
    assert [line.partition(":")[0] for line in found] == ["settings.pool", "probe.digest"]
    assert differing_scans([same, same]) == ()


def test_positions_ascend(here):
    opened = here(a={"steps": [0, 1, 2]})
    assert (np.diff(as_series(opened, "tokens")[0].positions) > 0).all()
    with pytest.raises(DataError, match="do not ascend"):
        as_series(here(b={"tokens_seen": [5, 3, 9]}), "tokens")


def test_a_layer_that_a_checkpoint_lacks_is_missing_not_replaced(here):
    (run,) = as_series(here(a={"num_layers": 3}), "tokens")
    whole = run.checkpoint(0)
    part = replace(whole, spectra=tuple(s for s in whole.spectra if s.site.layer != 2))
    statistic = tail_statistic("rankme_cov", [64])
    chosen = choose_sites([part, whole], statistic, "last")
    assert chosen.layers == (2,)
    found = mean_over_layers(part, statistic, chosen)
    assert found.estimated is None
    assert "holds no activation_covariance of blocks.2.resid_post" in found.reason
    assert mean_over_layers(whole, statistic, chosen).estimated is not None
    none = mean_over_layers(replace(whole, spectra=()), statistic, chosen)
    assert none.estimated is None
    assert common_measurement([replace(whole, spectra=()), whole], statistic) == "activation_covariance"
