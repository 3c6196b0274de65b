from __future__ import annotations

import numpy as np

from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.workflows.in_memory import InMemory
from tests.builders.seeded import seeded_checkpoint


def test_it_answers_as_an_archive_of_the_same_checkpoints_does(tmp_path):
    checkpoints = tuple(seeded_checkpoint(step) for step in (0, 10))
    write_archive(tmp_path / "a.spectra.h5", checkpoints)
    archive, held = open_archive(tmp_path / "a.spectra.h5"), InMemory(measured=checkpoints)
    assert len(held) == len(archive)
    assert held.refs == archive.refs
    assert held.infos == archive.infos
    assert set(held.measurements) == set(archive.measurements)
    assert held.unfinished is archive.unfinished is None
    assert held.notices == archive.notices
    for name in ("probe_loss", "nothing"):
        np.testing.assert_array_equal(held.scalars_over(name), archive.scalars_over(name))
        for mine, other in zip(held.replicates_over(name), archive.replicates_over(name), strict=True):
            np.testing.assert_array_equal(mine, other)
    assert [one.ref for one in held.checkpoints([1, 0])] == [archive.refs[1], archive.refs[0]]
