from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.api.values.run import open as open_run
from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import ArchiveError, UsageError
from spectra_cli.render.outputs.show import rows as shown_rows
from spectra_cli.workflows.show import show


def test_it_is_opened_as_show_opens_it(place, whole):
    (place / "run.spectra.h5").write_bytes(whole.read_bytes())
    by_folder, by_path = open_run("run"), open_run(place / "run.spectra.h5")
    assert by_folder.checkpoints.rows == by_path.checkpoints.rows
    with pytest.raises(ArchiveError, match="nothing-here"):
        open_run("nothing-here")


def test_checkpoints_are_a_row_each(run, seeded):
    archive = open_archive(seeded)
    assert run.checkpoints["checkpoint"] == [ref.key for ref in archive.refs] == ["step0", "step10", "step15"]
    assert run.checkpoints["tokens_seen"] == [0, 1000, 1500]
    assert run.checkpoints["probe_loss"] == [3.5] * 3
    assert run.checkpoints["eval_loss"] == [None] * 3
    assert len(run) == len(run.checkpoints) == 3
    assert run.notices == archive.notices


def test_a_table_has_what_show_has(run, seeded):
    expected = list(shown_rows(show(seeded)))
    table = run.table()
    assert [dict(row) for row in table] == [{name: row[name] for name in table.columns} for row in expected]


def test_a_table_of_some_statistics_layers_and_steps(run):
    table = run.table(statistics=["rankme_cov", "stable_rank"], layers=[0], steps=range(10, 16))
    assert set(table["statistic"]) == {"rankme_cov", "stable_rank"}
    assert set(table["layer"]) == {0}
    assert set(table["step"]) == {10, 15}
    assert run.table(statistics="rankme_cov,stable_rank", layers="0", steps="10-15").rows == table.rows


@pytest.mark.parametrize(
    "choice", [{"statistics": "rankme"}, {"layers": 9}, {"steps": 7}, {"statistics": ()}]
)
def test_a_table_of_what_is_not_there_is_refused(run, choice):
    with pytest.raises(UsageError):
        run.table(**choice)


def test_a_spectrum_is_that_of_the_archive(run, seeded):
    (expected,) = [
        s
        for s in open_archive(seeded).checkpoint(1).spectra
        if s.site.address == "blocks.0.attn.q" and s.measurement == "weight"
    ]
    for name in ("weights", "weight"):
        np.testing.assert_array_equal(run.spectrum(10, "blocks.0.attn.q", name).values, expected.values)
    by_key = run.spectrum("step10", "blocks.0.resid_post")
    assert by_key.spectrum.measurement == "activation_covariance"
    assert by_key.step == 10


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ((11, "embed"), "holds no step 11; it holds step0, step10, step15"),
        ((None, "embed"), "holds no step None"),
        (
            (10, "blocks.0.attn.q"),
            "several spectra of blocks.0.attn.q; name one of uncentred-gradients, weights",
        ),
        ((10, "blocks.0.attn.p"), r"did you mean .*blocks\.0\.attn\.q"),
        ((10, "blocks.0.attn.v"), "block 0 has no attention"),
        ((10, "embed", "gradients"), "step10 holds no gradients of embed; it holds weights"),
    ],
)
def test_a_spectrum_that_is_not_there_is_told_of(run, asked, told):
    with pytest.raises(UsageError, match=told):
        run.spectrum(*asked)
