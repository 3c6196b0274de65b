"""Rotations: only between bases that mean the same, then the planted one; of which checkpoints they are."""

from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.analysis.alignment import align
from spectra_cli.analysis.compare.differences import Choice
from spectra_cli.analysis.compare.rotations import At, Turned, rotations, turned_between, why_no_rotation
from spectra_cli.analysis.run import Axis
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.types import CheckpointInfo, Vectors
from spectra_cli.workflows.runs import open_runs

WIDTH = 32


def infos(*digests):
    return [CheckpointInfo(num_parameters=1, family="f", architecture="A", digest=d) for d in digests]


def test_runs_without_a_common_checkpoint_have_different_bases():
    assert "different initialisation" in why_no_rotation(infos("x", "y"), infos("z", ""), (8, 8))
    assert "different initialisation" in why_no_rotation(infos(""), infos(""), (8, 8))
    assert "no vectors kept" in why_no_rotation(infos("x"), infos("x", "z"), (8, 0))
    assert why_no_rotation(infos("x", "y"), infos("x", "z"), (8, 8)) == ""


def test_a_planted_rotation_of_one_direction(weight):
    """O_k = 1 - sin^2 theta / k."""
    d, theta = 32, 0.3
    values = 2.0 ** -np.arange(d)
    turned = np.eye(d)
    turned[0, 0] = turned[20, 20] = np.cos(theta)
    turned[0, 20], turned[20, 0] = np.sin(theta), -np.sin(theta)
    plain = weight(values)
    first = replace(plain, vectors=Vectors(right=np.eye(d)[:12], left=np.eye(d)[:12]))
    second = replace(plain, vectors=Vectors(right=turned[:12], left=np.eye(d)[:12]))
    right, left = rotations([first], [second])
    assert (right.side, right.turn.rank, right.turn.chance) == ("right", 10, 10 / d)
    # vectors are float32
    assert right.turn.overlap == pytest.approx(1 - np.sin(theta) ** 2 / 10, abs=1e-6)
    assert left.turn.overlap == pytest.approx(1.0, abs=1e-6)
    assert list(rotations([first], [plain])) == []


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
