import math

import numpy as np
import pytest

from spectra_cli.analysis.batch_size.signature import pooled_deviation


def test_two_groups_of_equal_size_pool_their_variances():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 5))
    expected = math.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / 2)
    values = [*first, *(100 + second)]
    assert pooled_deviation(values, ["a"] * 5 + ["b"] * 5) == pytest.approx(expected, rel=1e-12)


def test_the_means_of_the_groups_do_not_matter_and_singles_add_nothing():
    assert pooled_deviation([1.0, 2.0, 50.0], ["a", "a", "b"]) == pytest.approx(math.sqrt(0.5))
    assert math.isnan(pooled_deviation([1.0, 2.0], ["a", "b"]))


def test_runs_without_a_number_are_left_out():
    assert pooled_deviation([1.0, 3.0, math.nan], ["a"] * 3) == pytest.approx(math.sqrt(2))
