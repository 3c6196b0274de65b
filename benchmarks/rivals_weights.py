"""Weight spectra, and nothing but spectra, by WeightWatcher and by `spectra`.

`WeightWatcher.analyze` has no switch that leaves its power-law fits out. `get_ESD` stops at the spectrum,
but lists all layers anew for each one. What is timed here are the two calls that both make for a layer
(`apply_normalize_Wmats`, `apply_esd`), with the layers listed once: WeightWatcher at its fastest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from benchmarks.ours import Spectra, scan, values_of
from benchmarks.workloads import WORKLOADS, build
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import FloatArray
from spectra_cli.extract.protocols import Model, Probe

WEIGHT = "weight"
SETTINGS = ScanSettings(preset="benchmark", measurements=(WEIGHT,), matrices=("all",))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightWork:
    """The block matrices (q, k, v, o, up, down) of a GPT-2-sized decoder.

    Attributes:
        model: for `spectra`; `probe`: which it asks for, and does not look at.
        maps: site address -> the linear map with that matrix, for WeightWatcher.
    """

    model: Model
    probe: Probe
    maps: dict[str, nn.Module]


def make_work(*, num_layers: int = 12, width: int = 768) -> WeightWork:
    """A decoder whose matrices are seeded noise of scale 0.02 with a rank-8 signal."""
    work = replace(WORKLOADS["tiny"], num_layers=num_layers, width=width, layers="all")
    model, probe = build(work)
    generator = torch.Generator().manual_seed(0)
    maps = {}
    for view in model.matrices:
        if view.site.layer is None:
            continue
        fan_out, fan_in = view.shape
        signal = torch.randn(fan_out, 8, generator=generator) @ torch.randn(8, fan_in, generator=generator)
        view.weight().copy_(0.02 * torch.randn(fan_out, fan_in, generator=generator) + 0.002 * signal)
        maps[view.site.address] = view.module
    return WeightWork(model=model, probe=probe, maps=maps)


def run_ours(work: WeightWork) -> Spectra:
    """`spectra`: float64 singular values."""
    return values_of(scan(work.model, work.probe, SETTINGS))


def run_weightwatcher(work: WeightWork) -> Spectra:
    """WeightWatcher: singular values from its squared ones."""
    import weightwatcher
    from weightwatcher.constants import DEFAULT_PARAMS
    from weightwatcher.weightwatcher import WWLayerIterator

    logging.getLogger(weightwatcher.__name__).setLevel(logging.ERROR)
    watcher = weightwatcher.WeightWatcher(model=nn.ModuleList(work.maps.values()), log_level=logging.ERROR)
    parameters = DEFAULT_PARAMS.copy()
    layers = WWLayerIterator(model=watcher.model, framework=watcher.framework, params=parameters)
    found: list[FloatArray] = []
    for layer in layers:
        if layer.skipped or not layer.has_weights:
            continue
        watcher.apply_normalize_Wmats(layer, parameters)
        watcher.apply_esd(layer, parameters)
        found.append(np.sqrt(layer.evals[::-1]))
    return {(WEIGHT, address): values for address, values in zip(work.maps, found, strict=True)}
