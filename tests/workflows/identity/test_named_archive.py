"""An archive found by the name of its checkpoints says where it was found, if there is another."""

import shutil

from spectra_cli.workflows.identity.named_archive import open_named


def test_of_two_archives_that_a_folder_may_mean_it_is_said_which_is_read(tmp_path, write_run, monkeypatch):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    own, beside = tmp_path / "a.spectra.h5", tmp_path / "runs" / "a.spectra.h5"
    write_run(own, steps=(0, 10), losses=[3.0, 2.0], lies_in=tmp_path / "runs" / "a")
    assert open_named("runs/a").notices == ()
    shutil.copy(own, beside)
    archive = open_named("runs/a")
    assert archive.path == own
    assert archive.notices == (f"read from {own}; there is also {beside}, which was left alone",)
    assert open_named(own).notices == ()
