"""Which sites of two runs are worked out together: numpy is fast with many numbers at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spectra_cli.analysis.compare.aligned.spectra_at import Around
from spectra_cli.analysis.compare.quantities import tail_window
from spectra_cli.core.types import Spectrum

# Of one array of the sites' rows; a dozen such arrays are in use at once, and a core's cache holds some.
_CACHE_BYTES = 2**19


def alike(pairs: Sequence[tuple[Around, Around]]) -> Iterator[list[int]]:
    """Places of pairs, of A and of B, whose spectra differ in nothing but their values.

    They have one measurement, as many values, dimensions and samples, the same blocks and the same window of
    the tail. No more come at once than a core's cache has room for.
    """
    kinds: dict[tuple[object, ...], list[int]] = {}
    for place, (first, second) in enumerate(pairs):
        kind = first.before.measurement, *_kind(first.before), *_kind(second.before)
        kinds.setdefault(kind, []).append(place)
    for places in kinds.values():
        spectra = [one.before for one in pairs[places[0]]]
        row_bytes = 8 * max(one.values.size * (1 + len(one.block_sizes)) for one in spectra)
        at_once = max(1, _CACHE_BYTES // row_bytes)
        for start in range(0, len(places), at_once):
            yield places[start : start + at_once]


def _kind(spectrum: Spectrum) -> tuple[object, ...]:
    return (
        spectrum.kind,
        spectrum.values.size,
        spectrum.ambient_dim,
        spectrum.num_samples,
        spectrum.block_sizes,
        spectrum.block_profile is None,
        tail_window(spectrum),
    )
