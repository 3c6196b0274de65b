"""Why there is a trend with batch size, or none."""

from __future__ import annotations

import pytest

from spectra_cli.analysis.alignment import align
from spectra_cli.analysis.batch_size.over_runs import batch_size_trend
from spectra_cli.analysis.compare.aligned.points import points_of
from spectra_cli.analysis.compare.differences import decided, differences_at
from spectra_cli.analysis.run import Axis
from spectra_cli.workflows.runs import open_runs


@pytest.fixture
def family(write_run, tmp_path):
    """Runs of these batch sizes whose exponent rises by 0.1 a doubling, compared with the first."""

    def build(*sizes):
        names = [
            str(
                write_run(
                    tmp_path / f"{i}.spectra.h5",
                    steps=(0, 10),
                    losses=(8.0, 5.0),
                    exponents=1.0 + 0.1 * i,
                    noise=0.01,
                    batch_size_tokens=size,
                )
            )
            for i, size in enumerate(sizes)
        ]
        runs = open_runs(names)
        alignment = align(runs, Axis.LOSS, number=1)
        (points,) = points_of(runs, alignment)
        target = alignment.points[0].target
        compared = [
            decided(differences_at(points[0], other, target=target, paired=True)) for other in points[1:]
        ]
        return runs, compared

    return build


def test_a_planted_trend(family):
    runs, compared = family(1024, 2048, 4096)
    found = batch_size_trend(runs, compared, paired=True)
    assert found.reason == ""
    assert any("degree" in caveat for caveat in found.caveats)
    slopes = [t.slope for t in found.trends if t.of.statistic == "tail_exponent_scaled"]
    # the eigenvalues themselves are planted without noise
    assert slopes == pytest.approx([0.1] * len(slopes), abs=1e-9)
    assert slopes


def test_two_runs_are_no_family_and_two_sizes_no_trend(family):
    runs, compared = family(1024, 2048)
    assert batch_size_trend(runs, compared, paired=True).reason == ""
    runs, compared = family(1024, 1024, 2048)
    assert "at least 3 sizes" in batch_size_trend(runs, compared, paired=True).reason
