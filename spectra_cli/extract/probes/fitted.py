"""A request of defaults that a probe cannot fill, brought down to what the probe does hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from spectra_cli.extract.probes.source import ProbeRequest, TokenFile
from spectra_cli.extract.probes.windows import Windows


def fitted_length(files: Sequence[TokenFile], request: ProbeRequest) -> ProbeRequest:
    """The request with T as long as the narrowest ready sequences, where it was a default beyond them."""
    narrowest = min((file.ids.shape[1] for file in files if file.ids.ndim == 2), default=request.width)
    length = narrowest - (request.width - request.sequence_length)
    if not request.narrows or narrowest >= request.width or length < 2:
        return request
    return replace(request, sequence_length=length)


def fitted_count(windows: Sequence[Windows], request: ProbeRequest) -> ProbeRequest:
    """The request with as many sequences as there are, where more were a default."""
    available = sum(len(part.rows) for part in windows)
    if request.least_sequences is None or not request.least_sequences <= available < request.num_sequences:
        return request
    return replace(request, num_sequences=available)
