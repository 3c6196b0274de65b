"""A run's phases: effective rank and decay exponent of one layer over tokens, cut into segments."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spectra_cli.analysis.layer_means import LayerMean, choose_sites, mean_over_layers, width_of
from spectra_cli.analysis.phases.segments import FEWEST_CHECKPOINTS, Segment, find_phases
from spectra_cli.analysis.phases.segments import Path as Trajectory
from spectra_cli.analysis.run import Axis, Run, common_axis, notices_of
from spectra_cli.core.errors import DataError, UnknownNameError
from spectra_cli.core.measurements import ACTIVATIONS
from spectra_cli.core.series import Unfinished
from spectra_cli.core.shown import Shown
from spectra_cli.core.types import CheckpointSpectra, FloatArray
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.core.words.plurals import counted
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import DECAY_EXPONENT, Statistic

# Specs H: sequences a dimension; checkpoints inside the first tenth of training.
SEQUENCES_A_DIMENSION = 4
EARLY_SHARE = 0.1
EARLY_CHECKPOINTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePoint:
    """One checkpoint of the trajectory.

    Attributes:
        step: None where unknown; position: tokens (or steps).
        rank, rank_stderr: RankMe of eigenvalues; alpha, alpha_stderr: decay exponent.
    """

    step: int | None
    position: float
    rank: float
    rank_stderr: float
    alpha: float
    alpha_stderr: float


def left_out(run: Run, axis: Axis, lost: Sequence[LayerMean]) -> Iterator[str]:
    """What the trajectory does not hold of the run, in sentences."""
    if axis is Axis.STEP:
        yield "the run does not say its tokens: everything is in steps"
    if run.num_left_out:
        yield f"{counted(run.num_left_out, 'checkpoint')} without {axis.unit} left out"
    if lost:
        yield (
            f"{counted(len(lost), 'value')} missing, left out with their checkpoints; the "
            f"first: {lost[0].reason}"
        )


def conditions(
    run: Run,
    checkpoints: Sequence[CheckpointSpectra],
    points: Sequence[PhasePoint],
    segments: Sequence[Segment],
) -> Iterator[str]:
    """Which conditions of the method do not hold (docs/how-to/find-phases.md)."""
    if len(points) < FEWEST_CHECKPOINTS:
        yield (
            f"{len(points)} checkpoints, at least {FEWEST_CHECKPOINTS} are needed to tell a phase from a "
            "pair of points"
        )
    probe, settings = run.series.provenance.probe, run.series.provenance.setting_facts
    if missing := sum(not math.isfinite(s.rank_stderr + s.alpha_stderr) for s in segments):
        yield (
            f"no standard error: changes cannot be judged ({missing} of {counted(len(segments), 'segment')})"
        )
    width = max(width_of(checkpoint) for checkpoint in checkpoints)
    if probe.num_sequences < SEQUENCES_A_DIMENSION * width:
        yield (
            f"{counted(probe.num_sequences, 'probe sequence')} for {width} dimensions, at least "
            f"{SEQUENCES_A_DIMENSION * width} are asked for: the bias by finite samples may change "
            "with training"
        )
    # of training, which starts at 0, wherever the scan does
    num_early = sum(point.position <= EARLY_SHARE * points[-1].position for point in points)
    if num_early < EARLY_CHECKPOINTS:
        share = points[0].position / points[-1].position if points[-1].position else 0.0
        begins = f"; the first one is {100 * share:.0f} % of the way to the last" if not num_early else ""
        yield (
            f"{counted(num_early, 'checkpoint')} in the first tenth of training, at least "
            f"{EARLY_CHECKPOINTS} are "
            f"needed to see a warm-up{begins}"
        )
    rows = f"{settings.normalize}/{settings.pool}"
    if rows != "final/last":
        yield (
            f"rows are {rows}; the phases were described on final/last, which a scan with --normalize final "
            "--set scan.pool=last measures"
        )
    if not any(segment.name == "warmup" for segment in segments[:1]):
        yield "warm-up not observed (first checkpoint too late, or none there)"


EFFECTIVE_RANK = "rankme_cov"
# The first of these that the width allows; a narrow model has no tail to speak of.
EXPONENTS = ("alpha_req_11_100", "tail_exponent_scaled", "head_exponent_2_10")
NAMED = ("warmup", "entropy-seeking", "compression-seeking")
# A rate this near its maximum stands at its peak: a long plateau may creep in the last digits.
AT_PEAK = 0.999


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Phases(Shown):
    """The segments of a run.

    Attributes:
        name, path: of its archive.
        unit: `tokens` or `steps`.
        layer: measured; alpha: name of the decay exponent.
        points: the trajectory; segments: their `first`, `last` and bounds are places in it.
        warnings: conditions that do not hold, and what was left out.
        unfinished: what a scan still owes the archive; None where nothing.
    """

    name: str
    path: Path
    unit: str
    layer: int
    alpha: str
    points: tuple[PhasePoint, ...]
    segments: tuple[Segment, ...]
    warnings: tuple[str, ...]
    unfinished: Unfinished | None = None

    @property
    def has_structure(self) -> bool:
        """Whether any segment has the signs of a phase."""
        return any(segment.name in NAMED for segment in self.segments)


def phases_of(opened: Run, *, layer: int | None = None, alpha: str | None = None) -> Phases:
    """Warm-up, entropy-seeking and compression-seeking stretches of one run.

    Args:
        layer: None for the last one measured.
        alpha: name of the decay exponent; None for the first of `EXPONENTS` that has values.

    Raises:
        ArchiveError: its archive is damaged.
        UsageError: a layer or statistic that it does not hold.
        DataError: no activation spectra, no positions, or fewer than two usable checkpoints.
    """
    axis = common_axis([opened])
    run = opened.along(axis)
    positions = run.on(axis)
    checkpoints = [_of_one_layer(one, layer) for one in run.checkpoints(range(len(run)), [ACTIVATIONS])]
    if not any(checkpoint.select(ACTIVATIONS) for checkpoint in checkpoints):
        raise DataError(
            f"{run.series.path} holds no activation spectra, which phases are read from. Scan with "
            "--measure activations."
        )
    layers: str | tuple[int, ...] = "last" if layer is None else (layer,)
    ranks = _means(checkpoints, STATISTICS[EFFECTIVE_RANK], layers)
    exponent, alphas, fallback = _exponents(checkpoints, layers, alpha)
    usable = [
        (place, rank.estimated, exponent_.estimated)
        for place, (rank, exponent_) in enumerate(zip(ranks, alphas, strict=True))
        if rank.estimated is not None and exponent_.estimated is not None
    ]
    lost = [mean for mean in (*ranks, *alphas) if mean.estimated is None]
    if len(usable) < 2:
        told = f"; {lost[0].reason}" if lost else ""
        raise DataError(
            f"{run.series.path}: {counted(len(usable), 'checkpoint')} with both {EFFECTIVE_RANK} and "
            f"{exponent.name}{told}. Phases need a trajectory: scan more checkpoints, or name another "
            "exponent with --alpha."
        )
    points = tuple(
        PhasePoint(
            step=checkpoints[place].ref.step,
            position=float(positions[place]),
            rank=rank.value,
            rank_stderr=rank.stderr,
            alpha=found.value,
            alpha_stderr=found.stderr,
        )
        for place, rank, found in usable
    )
    segments = find_phases(
        [point.position for point in points],
        Trajectory.of([replace(rank, per_row=np.log(rank.per_row)) for _, rank, _ in usable]),
        Trajectory.of([found for *_, found in usable]),
        warmup_until=_warmup_until(run, positions),
    )
    return Phases(
        name=run.name,
        path=run.series.path,
        unit=axis.unit,
        layer=ranks[0].layers[0],
        alpha=exponent.name,
        points=points,
        segments=tuple(segments),
        unfinished=run.series.unfinished,
        warnings=(
            *notices_of([run]),
            *fallback,
            *left_out(run, axis, lost),
            *conditions(run, checkpoints, points, segments),
        ),
    )


def _of_one_layer(checkpoint: CheckpointSpectra, layer: int | None) -> CheckpointSpectra:
    """The checkpoint without the activations of other layers, which of a long series would fill the memory.

    One that lacks the layer stays as it is: whoever looks for the layer says what there is.
    """
    found = checkpoint.select(ACTIVATIONS)
    last = max((one.site.layer for one in found if one.site.layer is not None), default=None)
    here = tuple(one for one in found if one.site.layer == (last if layer is None else layer))
    return replace(checkpoint, spectra=here) if here else checkpoint


def _exponents(
    checkpoints: Sequence[CheckpointSpectra], layers: str | tuple[int, ...], name: str | None
) -> tuple[Statistic, list[LayerMean], list[str]]:
    """The decay exponent at every checkpoint, and what is to be said about its choice."""
    if name is not None:
        decay = (s for s in STATISTICS.values() if s.family is DECAY_EXPONENT)
        exponents = [s.name for s in decay if ACTIVATIONS in s.measurements]
        if name not in exponents:
            meant, known = did_you_mean(name, exponents), ", ".join(exponents)
            raise UnknownNameError(
                f"--alpha {name}: no decay exponent of activations is called so{meant}. Known: {known}"
            )
        return STATISTICS[name], _means(checkpoints, STATISTICS[name], layers), []
    told: list[str] = []
    for candidate in EXPONENTS:
        found = _means(checkpoints, STATISTICS[candidate], layers)
        if sum(mean.estimated is not None for mean in found) > len(found) / 2:
            break
        missing = next(mean for mean in found if mean.estimated is None)
        told.append(f"no {STATISTICS[candidate].title} ({candidate}; {missing.reason})")
    chosen = STATISTICS[candidate]
    return chosen, found, [f"{'; '.join(told)}: alpha is the {chosen.title} ({candidate})"] if told else []


def _means(
    checkpoints: Sequence[CheckpointSpectra], statistic: Statistic, layers: str | tuple[int, ...]
) -> list[LayerMean]:
    """The statistic at every checkpoint, of the same activations."""
    chosen = choose_sites(checkpoints, statistic, layers, measurement=ACTIVATIONS)
    return [mean_over_layers(checkpoint, statistic, chosen) for checkpoint in checkpoints]


def _warmup_until(run: Run, positions: FloatArray) -> float | None:
    """Where the learning rate first stands at its peak but for rounding, if it is known and rose to it."""
    rates = np.array([math.nan if i.learning_rate is None else i.learning_rate for i in run.infos])
    known = np.flatnonzero(np.isfinite(rates))
    if known.size < 2:
        return None
    peak = int(known[np.flatnonzero(rates[known] >= AT_PEAK * rates[known].max())[0]])
    return float(positions[peak]) if peak > known[0] else None
