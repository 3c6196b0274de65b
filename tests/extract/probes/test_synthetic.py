import numpy as np

from spectra_cli.extract.probes.synthetic import draw_zipf_tokens


def test_frequencies_follow_the_documented_law():
    vocab_size, num_draws = 10, 200_000
    ids = draw_zipf_tokens((num_draws, 1), vocab_size=vocab_size, seed=1)
    expected = 1 / (np.arange(vocab_size) + 2.7)
    expected /= expected.sum()
    found = np.bincount(ids[:, 0], minlength=vocab_size) / num_draws
    # five standard errors of a binomial frequency
    assert (np.abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / num_draws)).all()


def test_a_smaller_draw_is_the_start_of_a_larger_one():
    few = draw_zipf_tokens((3, 8), vocab_size=50, seed=2)
    many = draw_zipf_tokens((9, 8), vocab_size=50, seed=2)
    assert (many[:3] == few).all()
    assert (draw_zipf_tokens((3, 8), vocab_size=50, seed=3) != few).any()
