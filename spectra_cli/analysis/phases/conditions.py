"""What a run lacks of the conditions under which phases can be told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spectra_cli.analysis.layer_means import LayerMean, width_of
from spectra_cli.analysis.phases.segments import FEWEST_CHECKPOINTS, Segment
from spectra_cli.analysis.run import Axis, Run
from spectra_cli.core.types import CheckpointSpectra

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
        yield f"{run.num_left_out} checkpoint(s) without {axis.unit} left out"
    if lost:
        yield f"{len(lost)} value(s) missing, their checkpoints left out; the first: {lost[0].reason}"


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
        yield f"no standard error: changes cannot be judged ({missing} of {len(segments)} segment(s))"
    width = max(width_of(checkpoint) for checkpoint in checkpoints)
    if probe.num_sequences < SEQUENCES_A_DIMENSION * width:
        yield (
            f"{probe.num_sequences} probe sequences for {width} dimensions, at least "
            f"{SEQUENCES_A_DIMENSION * width} are asked for: the bias by finite samples may change "
            "with training"
        )
    # of training, which starts at 0, wherever the scan does
    num_early = sum(point.position <= EARLY_SHARE * points[-1].position for point in points)
    if num_early < EARLY_CHECKPOINTS:
        share = points[0].position / points[-1].position if points[-1].position else 0.0
        begins = f"; the first one is {100 * share:.0f} % of the way to the last" if not num_early else ""
        yield (
            f"{num_early} checkpoint(s) in the first tenth of training, at least {EARLY_CHECKPOINTS} are "
            f"needed to see a warm-up{begins}"
        )
    rows = f"{settings.normalize}/{settings.pool}"
    if rows != "final/last":
        yield f"rows are {rows}; the phases were described on final/last"
    if not any(segment.name == "warmup" for segment in segments[:1]):
        yield "warm-up not observed (first checkpoint too late, or none there)"
