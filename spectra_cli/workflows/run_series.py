"""An archive read as a series over training: where each checkpoint stands, and at which loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectra_cli.analysis.layer_means import LayerMean, last_third, layer_mean
from spectra_cli.archive.layout import SUFFIX
from spectra_cli.archive.provenance import scan_differences
from spectra_cli.archive.reader import Archive
from spectra_cli.core.errors import DataError, UsageError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.suggestions import did_you_mean
from spectra_cli.core.types import CheckpointInfo, CheckpointSpectra, FloatArray, Spectrum, Status
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import ACTIVATIONS, Statistic
from spectra_cli.workflows.named_archive import open_all
from spectra_cli.workflows.repeated import refuse_repeated

LOSSES = {
    "probe": "loss of the probe, which the scan measured",
    "validation": "validation loss that the training stack wrote",
    "train": "training loss that the training stack wrote",
}
_WIDTH_OF_30_150 = 600
# Settings that change the same model's activation spectra, or their errors, beyond rounding.
_BINDING = (
    "probe.",
    "settings.dtype:",
    "settings.normalize:",
    "settings.num_sequences:",
    "settings.pool:",
    "settings.sequence_length:",
    "settings.targets:",
    "versions.numerics:",
)
_BINDING_OF_GRADIENTS = "settings.num_gradient_sequences:"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunSeries:
    """The checkpoints of one run that stand somewhere, in order.

    Attributes:
        name: tells it from the other runs of a command; its archive's name where that is enough.
        places: (n,) of the checkpoints in the archive.
        positions: (n,) tokens seen, or steps; ascending.
        num_left_out: checkpoints whose position is unknown.
    """

    name: str
    archive: Archive
    places: tuple[int, ...]
    positions: FloatArray
    num_left_out: int

    @property
    def steps(self) -> FloatArray:
        """(n,) optimiser steps, NaN where unknown."""
        return _positions(self.archive, "steps")[list(self.places)]

    @property
    def infos(self) -> tuple[CheckpointInfo, ...]:
        """What each checkpoint says about itself."""
        return tuple(self.archive.infos[place] for place in self.places)

    def losses(self, kind: str) -> FloatArray:
        """(n,) nats, NaN where there is none; kinds are those of `LOSSES`."""
        if kind == "probe":
            return self.archive.scalars_over("probe_loss")[list(self.places)]
        field = "eval_loss" if kind == "validation" else "train_loss"
        found = [getattr(info, field) for info in self.infos]
        return np.array([math.nan if loss is None else loss for loss in found], dtype=np.float64)

    def checkpoint(self, index: int) -> CheckpointSpectra:
        """The measurements of the checkpoint at `positions[index]`."""
        return next(self.checkpoints([index]))

    def checkpoints(self, indices: Iterable[int]) -> Iterator[CheckpointSpectra]:
        """Those of several, in this order, for which the archive is opened once."""
        return self.archive.checkpoints([self.places[index] for index in indices], vectors=False)


def open_runs(names: Sequence[AnyPath]) -> tuple[tuple[Path, Archive], ...]:
    """The archives meant by paths or scanned folders.

    Raises:
        ArchiveError: one is not there, or damaged.
        UsageError: one is named twice, or two are of the same checkpoints.
    """
    archives = open_all(names)
    refuse_repeated(names, archives, "a run counts once; leave one of them out", measured_alike=False)
    return tuple((archive.path, archive) for archive in archives)


def differing_scans(archives: Sequence[Archive], *, of_gradients: bool = False) -> tuple[str, ...]:
    """In what the archives were measured differently, of what a number of their activations depends on.

    Args:
        of_gradients: the number is of gradients, which depend on their own number of sequences too.
    """
    binding = (*_BINDING, *([_BINDING_OF_GRADIENTS] if of_gradients else []))
    found = (
        difference
        for archive in archives[1:]
        for difference in scan_differences(archives[0].provenance, archive.provenance)
        if difference.startswith(binding)
    )
    return tuple(dict.fromkeys(found))


def as_series(opened: Sequence[tuple[Path, Archive]], unit: str) -> tuple[RunSeries, ...]:
    """The archives as series over `tokens` or `steps`.

    Raises:
        DataError: a run has no checkpoint with a position, or its steps start anew with each stage.
    """
    names = [path.name.removesuffix(SUFFIX) for path, _ in opened]
    return tuple(
        _series(name if names.count(name) == 1 else str(path), archive, unit)
        for name, (path, archive) in zip(names, opened, strict=True)
    )


def common_unit(archives: Sequence[Archive]) -> str:
    """`tokens` where every run knows them wherever it knows its steps, `steps` otherwise."""
    for archive in archives:
        tokens, steps = (np.isfinite(_positions(archive, unit)).sum() for unit in ("tokens", "steps"))
        if tokens == 0 or tokens < steps:
            return "steps"
    return "tokens"


def common_loss(runs: Sequence[RunSeries], kind: str | None) -> str:
    """The loss that the runs are judged by: the one asked for, or the first that every run has.

    Raises:
        DataError: no such loss in one of the runs.
    """
    lacking = {
        name: [run for run in runs if not np.isfinite(run.losses(name)).any()]
        for name in (LOSSES if kind is None else [kind])
    }
    for name, without in lacking.items():
        if not without:
            return name
    told = "; ".join(f"{name}: not in {', '.join(r.name for r in runs)}" for name, runs in lacking.items())
    raise DataError(
        f"no loss to go by ({told}). A scan with a probe measures its loss; --log or a run.toml adds "
        "those of the training (docs/how-to/training-metadata.md)."
    )


def tail_statistic(name: str | None, widths: Sequence[int]) -> Statistic:
    """The statistic asked for; by default the tail exponent that all these widths have in common.

    Raises:
        UsageError: no statistic is called so.
    """
    if name in (None, "tail_exponent"):
        wide = len(set(widths)) == 1 and widths[0] >= _WIDTH_OF_30_150
        return STATISTICS["tail_exponent_30_150" if wide else "tail_exponent_scaled"]
    if name not in STATISTICS:
        raise UsageError(
            f"no statistic of spectra is called {name!r}{did_you_mean(name, STATISTICS)}. "
            f"Known: tail_exponent, {', '.join(STATISTICS)}"
        )
    return STATISTICS[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenSites:
    """Where a statistic is taken, the same at every checkpoint of a run.

    Attributes:
        measurement: of the spectra; layers: averaged over; addresses: of the sites inside them.
    """

    measurement: str
    layers: tuple[int, ...]
    addresses: frozenset[str]


def common_measurement(checkpoints: Sequence[CheckpointSpectra], statistic: Statistic) -> str:
    """The first measurement inside layers that the statistic is defined for, of all these checkpoints.

    Raises:
        DataError: none of them has one.
    """
    for measurement in statistic.measurements:
        if any(_inside_layers(checkpoint, measurement) for checkpoint in checkpoints):
            return measurement
    wanted, there = ", ".join(statistic.measurements), {s.measurement for c in checkpoints for s in c.spectra}
    raise DataError(
        f"{statistic.name} needs spectra of {wanted}; {checkpoints[0].ref.run} holds "
        f"{', '.join(sorted(there)) or 'none'}. Scan with --measure activations, or give --statistic."
    )


def choose_sites(
    checkpoints: Sequence[CheckpointSpectra],
    statistic: Statistic,
    layers: str | Sequence[int],
    *,
    measurement: str | None = None,
) -> ChosenSites:
    """Measurement and layers for all these checkpoints of a run, of what any of them holds.

    Args:
        checkpoints: of one run; layers: `last`, `last-third`, `all`, or their numbers.
        measurement: None for the one that the checkpoints have.

    Raises:
        DataError: as in `common_measurement`.
        UsageError: a layer that was not measured at any of them.
    """
    measurement = measurement or common_measurement(checkpoints, statistic)
    spectra = [s for checkpoint in checkpoints for s in _inside_layers(checkpoint, measurement)]
    measured = sorted({s.site.layer for s in spectra if s.site.layer is not None})
    named = {"last": measured[-1:], "last-third": last_third(measured), "all": measured}
    chosen = set(named[layers] if isinstance(layers, str) else layers)
    if missing := sorted(chosen.difference(measured)) if measured else []:
        held = ", ".join(map(str, measured))
        raise UsageError(
            f"{checkpoints[0].ref.run} holds no layer {', '.join(map(str, missing))} of {measurement}; it "
            f"holds {held}"
        )
    return ChosenSites(
        measurement=measurement,
        layers=tuple(sorted(chosen)),
        addresses=frozenset(s.site.address for s in spectra if s.site.layer in chosen),
    )


def mean_over_layers(checkpoint: CheckpointSpectra, statistic: Statistic, chosen: ChosenSites) -> LayerMean:
    """The statistic's mean over the sites chosen; no number where one of them is missing here."""
    found = [s for s in _inside_layers(checkpoint, chosen.measurement) if s.site.address in chosen.addresses]
    missing = chosen.addresses.difference(s.site.address for s in found)
    if missing or not found:
        what = ", ".join(sorted(missing)) or "any layer"
        return LayerMean(
            estimated=None,
            layers=chosen.layers,
            status=Status.NOT_APPLICABLE,
            reason=f"{checkpoint.ref.key} holds no {chosen.measurement} of {what}",
        )
    return layer_mean(found, statistic)


def _inside_layers(checkpoint: CheckpointSpectra, measurement: str) -> list[Spectrum]:
    return [s for s in checkpoint.select(measurement) if s.site.layer is not None]


def width_of(checkpoint: CheckpointSpectra) -> int:
    """Width of the residual stream, as far as an activation spectrum tells; 0 without one."""
    return max((s.ambient_dim for s in checkpoint.select(ACTIVATIONS)), default=0)


def _series(name: str, archive: Archive, unit: str) -> RunSeries:
    found = _positions(archive, unit)
    places = np.flatnonzero(np.isfinite(found))
    if not places.size:
        raise DataError(
            f"{archive.path}: no checkpoint says its {unit}. Give them with --log or in a run.toml, and scan "
            "again: nothing is measured twice (docs/how-to/training-metadata.md)."
        )
    if (np.diff(found[places]) < 0).any():
        raise DataError(
            f"{archive.path}: its {unit} do not ascend over the checkpoints (a run in stages counts its "
            "steps anew in each). Give the tokens with --log or in a run.toml "
            "(docs/how-to/training-metadata.md)."
        )
    return RunSeries(
        name=name,
        archive=archive,
        places=tuple(places.tolist()),
        positions=found[places],
        num_left_out=len(archive) - places.size,
    )


def _positions(archive: Archive, unit: str) -> FloatArray:
    found: Mapping[str, list[int | None]] = {
        "tokens": [info.tokens_seen for info in archive.infos],
        "steps": [ref.step for ref in archive.refs],
    }
    return np.array([math.nan if p is None else p for p in found[unit]], dtype=np.float64)
