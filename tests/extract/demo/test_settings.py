from math import isqrt

import numpy as np
import pytest

from spectra_cli.extract.demo.settings import BandedTask, draw_splits

TASK = BandedTask()


def slow_sequence(rng, task):
    """One sequence, straight from the definition: the order of the draws is part of it."""
    moduli = list(range(task.min_modulus, task.vocab_size + 1))
    weights = np.array([c**-task.modulus_exponent for c in moduli])
    c = int(rng.choice(moduli, p=weights / weights.sum()))
    offsets = list(range(task.vocab_size - c + 1))
    weights = np.array([(o + 1.0) ** -task.offset_exponent for o in offsets])
    o = int(rng.choice(offsets, p=weights / weights.sum()))
    smallest = max(1, int(task.min_step_fraction * c))
    d = int(rng.integers(smallest, c)) if smallest < c else 1
    if rng.random() < task.noncoprime_probability:
        divisors = [g for g in range(2, isqrt(c) + 1) if c % g == 0]
        if divisors:
            g = divisors[int(rng.integers(len(divisors)))]
            d = max(g, min(g * (d // g), c - 1))
    a = int(rng.integers(c))
    return [o + (a + d * k) % c for k in range(task.sequence_length + 1)]


def test_sequences_follow_the_definition_draw_by_draw():
    rng = np.random.default_rng(4 + 303)
    train, validation = draw_splits(TASK, seed=4, sizes=(150, 50))
    assert np.concatenate([train, validation]).tolist() == [slow_sequence(rng, TASK) for _ in range(200)]


def test_a_walk_stays_in_its_band_and_repeats():
    (sequences,) = draw_splits(BandedTask(vocab_size=16, sequence_length=40), seed=0, sizes=(200,))
    assert sequences.min() >= 0
    assert sequences.max() <= 15
    for row in sequences:
        # a period divides the modulus, which is at most the vocabulary
        assert any((row[p:] == row[:-p]).all() for p in range(1, 17))


def test_small_moduli_and_offsets_are_more_frequent():
    (sequences,) = draw_splits(TASK, seed=0, sizes=(1000,))
    assert np.median(sequences.max(axis=1) - sequences.min(axis=1)) < TASK.vocab_size / 4
    assert np.median(sequences.min(axis=1)) < TASK.vocab_size / 8


@pytest.mark.parametrize("sizes", [(5,), (5, 9)])
def test_later_splits_leave_earlier_ones_alone(sizes):
    assert (draw_splits(TASK, seed=1, sizes=sizes)[0] == draw_splits(TASK, seed=1, sizes=(5, 2))[0]).all()
    assert (draw_splits(TASK, seed=2, sizes=(5,))[0] != draw_splits(TASK, seed=1, sizes=(5,))[0]).any()
