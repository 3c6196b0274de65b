"""Which place of one model is compared with which of another: by address, or by relative depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spectra_cli.core.scan_facts import UNKNOWN
from spectra_cli.core.types import CheckpointSpectra, Spectrum


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePair:
    """One measurement at one place of two models.

    Attributes:
        first, second: the spectra in A and in B.
    """

    first: Spectrum
    second: Spectrum


def depth(checkpoint: CheckpointSpectra) -> int | None:
    """Layers of a checkpoint's model; None where its archive does not say.

    The scan writes it down. Of an older archive, the last layer measured or skipped counts where all
    layers were asked for, or five of them, which end with the last.
    """
    counted = checkpoint.provenance.execution_facts.num_layers
    if counted is not None:
        return counted
    if checkpoint.provenance.setting_facts.layers not in ("all", "five", UNKNOWN):
        return None
    sites = [*(s.site for s in checkpoint.spectra), *(s.site for s in checkpoint.skipped)]
    return 1 + max((site.layer for site in sites if site.layer is not None), default=-1)


def unknown_depth(first: CheckpointSpectra, second: CheckpointSpectra) -> str:
    """What to know about the layers that are compared where a depth is not known; empty where both are."""
    infos = first.info, second.info
    alike = len({(info.architecture, info.num_parameters) for info in infos}) == 1
    if alike or None not in (depth(first), depth(second)):
        return ""
    return (
        "an archive does not say how many layers its model has (an older scan of chosen layers): layers are "
        "compared by their number; scan again to compare models of different depth at relative depth"
    )


def site_pairs(first: CheckpointSpectra, second: CheckpointSpectra) -> Iterator[SitePair]:
    """Spectra of A, each with its counterpart in B; those without one are left out.

    Models of one depth, or of unknown depth, are compared layer by layer. Of two depths, each layer of the
    shallower model is compared with the layer of the deeper one at the nearest relative depth, the first with
    the first and the last with the last.
    """
    own_depth, other_depth = depth(first), depth(second)
    by_place = {(s.measurement, s.site.component, s.site.layer): s for s in second.spectra}
    back: dict[int, int] | None = None
    if own_depth is not None and other_depth is not None and own_depth != other_depth:
        if own_depth > other_depth:
            back = {_counterpart(layer, other_depth, own_depth): layer for layer in range(other_depth)}
        else:
            back = {layer: _counterpart(layer, own_depth, other_depth) for layer in range(own_depth)}
    for spectrum in first.spectra:
        layer = spectrum.site.layer
        if layer is not None and back is not None:
            layer = back.get(layer, -1)
        other = by_place.get((spectrum.measurement, spectrum.site.component, layer))
        if other is not None:
            yield SitePair(first=spectrum, second=other)


def _counterpart(layer: int, shallow: int, deep: int) -> int:
    """The layer of the deeper model at the relative depth of one of the shallower model."""
    return layer if shallow < 2 else round(layer * (deep - 1) / (shallow - 1))
