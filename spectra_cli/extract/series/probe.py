"""The probe that fits a series: asked for, read, and held against the model's vocabulary and positions."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import torch

from spectra_cli.core.errors import UsageError
from spectra_cli.core.scan_facts import IN_MEMORY
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import ByDefault, ScanSettings
from spectra_cli.core.types import ProbeInfo
from spectra_cli.extract.probes.load import load_probe
from spectra_cli.extract.probes.paper_compat import as_in_the_paper
from spectra_cli.extract.probes.source import ProbeRequest, ids_of
from spectra_cli.extract.protocols import Probe
from spectra_cli.extract.series.fit import fitted_to_model, fitted_to_probe, needs_tokens
from spectra_cli.extract.series.opened import Series

_NO_PROBE = (
    "no probe: --probe names the tokens that every checkpoint is shown (a .bin shard, .npy, .pt, "
    ".safetensors, text or JSONL file); `--probe synthetic` draws random ones for a smoke run"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadyProbe:
    """The tokens of a scan, and the settings that fit them and the model.

    Attributes:
        probe: what is shown to every checkpoint; its `info` holds the notices, too.
        settings: as asked for, with defaults that did not fit in their place.
        notices: what the user must know of these.
    """

    probe: Probe
    settings: ScanSettings
    notices: tuple[str, ...]


def read_probe(
    series: Series,
    request: ScanRequest,
    *,
    required: bool = True,
    given: Any = None,
    if_none: str = _NO_PROBE,
) -> ReadyProbe:
    """The probe's tokens, checked against the model's vocabulary and longest sequence.

    A scan of weights alone needs no tokens: where no probe was named it gets one of none, as does any scan
    where none is `required`.

    Args:
        given: the tokens themselves, in place of the request's probe: an array, a tensor or lists of ids.
        if_none: what to say where neither is there, in the words that the user asks with.

    Raises:
        UsageError: no probe was named.
        ProbeError: see `load_probe`; or sequences longer than the model's positions.
    """
    model = series.skeleton
    settings, said = as_in_the_paper(request.settings, model)
    named = IN_MEMORY if given is not None else os.fspath(request.probe)
    if not named and not needs_tokens(settings):
        return ReadyProbe(probe=_no_tokens(said), settings=settings, notices=said)
    if not named and required:
        raise UsageError(if_none)
    fitting, notices = fitted_to_model(settings, model)
    if not named:
        return ReadyProbe(probe=_no_tokens(said), settings=fitting, notices=said + notices)
    wanted = ProbeRequest(
        source=named,
        num_sequences=int(fitting.probe_sequences),
        sequence_length=int(fitting.sequence_length),
        least_sequences=fitting.least_sequences,
        narrows=isinstance(settings.sequence_length, ByDefault),
        seed=fitting.seed,
        order=fitting.order,
        targets=fitting.targets,
        tokenizer=None if request.tokenizer is None else os.fspath(request.tokenizer),
        format=request.probe_format,
        given=None if given is None else ids_of(given),
    )
    probe = load_probe(
        wanted,
        vocab_size=model.vocab_size,
        checkpoint_folder=series.first.ref.uri,
        base_folder=series.first.base_uri,
    )
    if probe.info.sequence_length < fitting.sequence_length:
        fitting, notices = settings, ()  # the probe's sequences are shorter than the model's positions
    fitted, more = fitted_to_probe(fitting, probe.info)
    notices = said + notices + more
    info = replace(probe.info, notices=(*notices, *probe.info.notices))
    return ReadyProbe(probe=replace(probe, info=info), settings=fitted, notices=notices)


def _no_tokens(notices: tuple[str, ...]) -> Probe:
    nothing = torch.empty(0, 0, dtype=torch.int64)
    return Probe(info=ProbeInfo(notices=notices), tokens=nothing, targets=nothing)
