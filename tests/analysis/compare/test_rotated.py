"""Rotations between two runs, with the names of the checkpoints that they are of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.analysis.alignment import align
from spectra_cli.analysis.compare.differences import Choice
from spectra_cli.analysis.compare.rotated import At, Turned, turned_between
from spectra_cli.analysis.run import Axis
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.types import Vectors
from spectra_cli.workflows.runs import open_runs

WIDTH = 32


@pytest.fixture
def runs(write_run, tmp_path):
    """Two runs from one first checkpoint, scanned with vectors."""
    made = []
    for name, steps in (("a", (0, 10, 20)), ("b", (0, 15, 40))):
        digests = ["start", *(f"{name}{step}" for step in steps[1:])]
        path = write_run(
            tmp_path / f"plain-{name}.spectra.h5",
            steps=steps,
            losses=(8.0, 5.0, 4.0),
            width=WIDTH,
            digest=digests,
            settings={"num_vectors": 12},
        )
        kept = Vectors(right=np.eye(WIDTH)[:12])
        checkpoints = [
            replace(one, spectra=tuple(replace(s, vectors=kept) for s in one.spectra))
            for one in open_archive(path)
        ]
        made.append(tmp_path / f"{name}.spectra.h5")
        write_archive(made[-1], checkpoints)
    return open_runs([str(path) for path in made])


def test_the_checkpoints_nearest_to_the_last_point_are_named(runs):
    alignment = align(runs, Axis.LOSS, at=[4.2])
    found = turned_between(runs, (0, 1), alignment, Choice(layers=(1,)))
    assert {one.site.layer for one in found.rotations} == {1}
    assert found.between == (
        At(checkpoint="step20", step=20, tokens=20_000),
        At(checkpoint="step40", step=40, tokens=40_000),
    )
    assert found.notes(("a", "b")) == [
        "leading subspaces: of step20 of a and step40 of b, nearest to the last point"
    ]


def test_without_rotations_no_checkpoint_is_named(write_run, tmp_path):
    paths = [
        write_run(tmp_path / f"{n}.spectra.h5", steps=(0, 10), losses=(8.0, 5.0), digest=["start", n])
        for n in "ab"
    ]
    runs = open_runs(paths)
    alignment = align(runs, Axis.LOSS, number=1)
    found = turned_between(runs, (0, 1), alignment, Choice())
    assert found == Turned(reason="no vectors kept: scan both with --vectors K")
    assert found.notes(("a", "b")) == []
