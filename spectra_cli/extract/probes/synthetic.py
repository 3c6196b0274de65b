"""Synthetic tokens for smoke runs: seeded, Zipf-like, and without meaning.

Ids are independent draws with P(id = k) proportional to `1 / (k + 2.7)`, k = 0 .. vocab_size - 1: the
rank-frequency law of words (Mandelbrot 1953, his shift 2.7), with the id as the rank, as byte-pair
vocabularies roughly are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spectra_cli.core.errors import ProbeError
from spectra_cli.extract.probes.source import ProbeSource, SourceInput, SourceTokens, TokenFile

_SHIFT = 2.7


def draw_zipf_tokens(shape: tuple[int, int], *, vocab_size: int, seed: int) -> NDArray[np.int64]:
    """Ids (sequences, length), row by row: the first rows are the same whatever their number.

    >>> draw_zipf_tokens((1, 4), vocab_size=100, seed=0).shape
    (1, 4)
    """
    cumulative = np.cumsum(1.0 / (np.arange(vocab_size) + _SHIFT))
    uniform = np.random.default_rng(seed).random(shape) * cumulative[-1]
    ids: NDArray[np.int64] = np.searchsorted(cumulative, uniform, side="right").astype(np.int64)
    # a product rounded up to the whole mass falls behind the last id
    return np.minimum(ids, vocab_size - 1)


def read_synthetic(wanted: SourceInput) -> SourceTokens:
    """As many sequences as the request asks for, and no more."""
    request = wanted.request
    if request.seed is None:
        raise ProbeError("a synthetic probe is drawn at random and was given no seed; give it one")
    ids = draw_zipf_tokens(
        (request.num_sequences, request.width), vocab_size=wanted.vocab_size, seed=request.seed
    )
    notice = "synthetic tokens: the spectra show that the scan works, not how the model sees text"
    return SourceTokens(files=(TokenFile(name="synthetic", ids=ids),), synthetic=True, notices=(notice,))


SYNTHETIC = ProbeSource(
    summary="seeded tokens from a Zipf-like distribution, for smoke runs", suffixes=(), read=read_synthetic
)
