"""Rotations: only between bases that mean the same, and then the planted one."""

from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.analysis.compare.rotations import rotations, why_no_rotation
from spectra_cli.core.types import CheckpointInfo, Vectors


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
    assert (right.side, right.rank, right.chance) == ("right", 10, 10 / d)
    # vectors are float32
    assert right.overlap == pytest.approx(1 - np.sin(theta) ** 2 / 10, abs=1e-6)
    assert left.overlap == pytest.approx(1.0, abs=1e-6)
    assert list(rotations([first], [plain])) == []
