import numpy as np

from spectra_cli.analysis.batch_size.across_runs import across_runs
from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.estimates import Estimated
from spectra_cli.core.types import Site
from tests.builders.difference import difference


def number(value):
    return Estimated(per_row=np.array([value, value, value]), block_sizes=(1, 1))


def item(layer, first, second, statistic="head_exponent_1_10", *, distance=False):
    site = Site(layer=layer, component="resid_post")
    numbers = (number(first), number(second))
    return SiteDifference(
        measurement="activation_covariance",
        statistic=statistic,
        site=site,
        other=site,
        target=3.0,
        found=difference(*numbers, paired=True, margin=0.05),
        numbers=None if distance else numbers,
    )


def test_runs_stand_in_order_with_the_baseline_first_and_gaps_where_they_are():
    second = [item(0, 1.0, 2.0), item(1, 1.5, 2.5), item(0, 1.0, 9.0, "head_movement", distance=True)]
    third = [item(1, 1.5, 3.5)]
    found = across_runs([second, third])
    values = [[None if run is None else run.value for run in one.runs] for one in found]
    assert values == [[1.0, 2.0, None], [1.5, 2.5, 3.5]]
    assert [one.site.layer for one in found] == [0, 1]
    assert {(one.statistic, one.target, one.margin) for one in found} == {("head_exponent_1_10", 3.0, 0.05)}
