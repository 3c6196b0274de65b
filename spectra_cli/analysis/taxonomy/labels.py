"""Is a change learning-side or execution-side? A table over what moved, what is equal, what is unknown.

Two kinds of evidence decide at one aligned point, the head of the activation spectra and the gradients; the
tail is printed beside them. Execution-side asks for equality that was shown: what was not found, or not
measured, is never taken as equal.

See docs/explanation/comparing.md.
The taxonomy: "Spectral Lens", arXiv 2605.05683, with thresholds in units of the measured
noise in place of quantiles of the analysed set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.compare.quantities import HEAD_MOVEMENT, plain_name
from spectra_cli.analysis.taxonomy.evidence import Flag, FlagEvidence, gather
from spectra_cli.analysis.taxonomy.seed_noise import seed_noise
from spectra_cli.analysis.taxonomy.token_gain import SMALLEST_GAIN, Performance, Tokens
from spectra_cli.core.measurements import ACTIVATIONS, GRADIENTS

HEAD = ("head_exponent_1_10", "head_exponent_2_10", HEAD_MOVEMENT)
GRADIENT = ("tail_exponent_sample_scaled", "rankme_cov", "gradient_noise_scale")
# one of them is compared, whichever the width allows
TAILS = ("tail_exponent_scaled", "tail_exponent_30_150")
FEWEST_LAYERS = 3


class Label(StrEnum):
    """What a change is, as far as the spectra tell."""

    LEARNING_SIDE = "learning-side"
    LEARNING_DYNAMICS = "learning-dynamics shift"
    REPRESENTATION = "representation shift"
    OPTIMISATION_SIDE = "optimisation-side"
    EXECUTION_SIDE = "execution-side"
    UNEXPLAINED_GAIN = "unexplained gain"
    UNEXPLAINED_SLOWDOWN = "unexplained slowdown"
    INCONCLUSIVE = "inconclusive"


class Confidence(StrEnum):
    """What the label is about."""

    CHECKPOINTS = "checkpoint-level"
    SEEDS = "seed-verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taxonomy:
    """The label of a change at one aligned point, and all that it rests on.

    Attributes:
        target: loss, step or tokens of the point.
        reason: one sentence: why this label, or what is missing for one.
        possible: labels that are left where the evidence does not decide; the label alone where it does.
    """

    target: float
    label: Label
    reason: str
    possible: tuple[Label, ...]
    confidence: Confidence
    head: FlagEvidence
    gradients: FlagEvidence
    tail: FlagEvidence
    performance: Performance

    @property
    def caveats(self) -> tuple[str, ...]:
        """What the label does not say."""
        return _CAVEATS if self.confidence is Confidence.SEEDS else (_NO_SEEDS, *_CAVEATS)


_NO_SEEDS = "checkpoint-level: another seed may differ as much (three seeds of the baseline would tell)"
_CAVEATS = (
    "correlation, not mechanism: the spectra show where two models differ, not why",
    "the head exponent rests on ten ranks, and one massive activation can move it (2-10 leaves it out)",
    "layer k of two architectures need not do the same: mind depth and skips when reading single layers",
    "another optimiser, sequence length, tokenizer or norm changes the unit of the gradients",
    "matched loss is not matched data",
)

# head, gradients -> labels, whatever the performance
_ROWS: Mapping[tuple[Flag, Flag], tuple[Label, ...]] = {
    (Flag.MOVED, Flag.MOVED): (Label.LEARNING_SIDE, Label.LEARNING_DYNAMICS),
    (Flag.MOVED, Flag.EQUAL): (Label.REPRESENTATION,),
    (Flag.EQUAL, Flag.MOVED): (Label.OPTIMISATION_SIDE,),
    (Flag.EQUAL, Flag.EQUAL): (Label.EXECUTION_SIDE, Label.UNEXPLAINED_GAIN, Label.UNEXPLAINED_SLOWDOWN),
}


def classify(
    differences: Sequence[SiteDifference],
    target: float,
    *,
    num_sequences: Mapping[str, int],
    performance: Performance | None = None,
    replicates: Sequence[Sequence[SiteDifference]] = (),
) -> Taxonomy:
    """The label of the change from a baseline to an intervention.

    Args:
        differences: decided, the baseline first; those of other aligned points are passed over.
        target: the aligned point.
        num_sequences: measurement -> sequences of the probe it was made of.
        performance: tokens and throughput, where known.
        replicates: for each other seed of the baseline's recipe (two at least), its differences from the
            baseline; then the label is about recipes.

    Raises:
        UsageError: a single replicate.
    """
    seeds = None
    if replicates:
        seeds = seed_noise([[d for d in run if d.target == target] for run in replicates])
    here = [d for d in differences if d.target == target]

    def evidence(measurement: str, statistics: Sequence[str]) -> FlagEvidence:
        n = num_sequences.get(measurement, 0)
        return gather(here, measurement, statistics, num_sequences=n, seeds=seeds)

    head, gradients = evidence(ACTIVATIONS, HEAD), evidence(GRADIENTS, GRADIENT)
    compared = {plain_name(d.statistic) for d in here if d.measurement == ACTIVATIONS}
    tail = next((name for name in TAILS if name in compared), TAILS[0])
    performance = performance or Performance()
    label, reason, possible = _label(head, gradients, performance)
    return Taxonomy(
        target=target,
        label=label,
        reason=reason,
        possible=possible,
        confidence=Confidence.CHECKPOINTS if seeds is None else Confidence.SEEDS,
        head=head,
        gradients=gradients,
        tail=evidence(ACTIVATIONS, (tail,)),
        performance=performance,
    )


def _label(
    head: FlagEvidence, gradients: FlagEvidence, performance: Performance
) -> tuple[Label, str, tuple[Label, ...]]:
    rows = [
        labels
        for (h, r), labels in _ROWS.items()
        if head.flag in (h, Flag.INCONCLUSIVE, Flag.NOT_MEASURED)
        and gradients.flag in (r, Flag.INCONCLUSIVE, Flag.NOT_MEASURED)
    ]
    possible = tuple(label for labels in rows for label in labels)
    kinds = (("head", head), ("gradients", gradients))
    few = [f"{name} in {len(one.layers)}" for name, one in kinds if 0 < len(one.layers) < FEWEST_LAYERS]
    if few:
        reason = f"{' and '.join(few)} shared layers; at least {FEWEST_LAYERS} are needed"
        return Label.INCONCLUSIVE, reason, tuple(label for labels in _ROWS.values() for label in labels)
    if len(rows) > 1:
        unknown = [f"{name}: {_WHY[evidence.flag]}" for name, evidence in kinds if evidence.flag in _WHY]
        return Label.INCONCLUSIVE, "; ".join(unknown), possible
    label, reason = _with_performance(rows[0], performance)
    return label, reason, possible if label is Label.INCONCLUSIVE else (label,)


_WHY = {
    Flag.INCONCLUSIVE: "neither moved nor shown equal",
    Flag.NOT_MEASURED: "not measured in both runs; scan both with them",
}


def _with_performance(row: tuple[Label, ...], performance: Performance) -> tuple[Label, str]:
    tokens = performance.tokens
    if row[0] is Label.LEARNING_SIDE:
        if tokens is Tokens.FEWER:
            return Label.LEARNING_SIDE, "head and gradients moved, and this loss takes fewer tokens"
        why = {
            Tokens.SAME: "this loss takes as many tokens",
            Tokens.MORE: "this loss takes more tokens",
            Tokens.UNKNOWN: "the tokens to this loss are unknown, or too uncertain",
        }[tokens]
        return Label.LEARNING_DYNAMICS, f"head and gradients moved; benefit unproven: {why}"
    if row[0] is Label.REPRESENTATION:
        check = "check whether the architecture changed the site or its normalisation"
        return row[0], f"the head moved and the gradients are equal: {check}"
    if row[0] is Label.OPTIMISATION_SIDE:
        return row[0], "the gradients moved (noise, conditioning) and the head is equal"
    shown = "head and gradients were shown equal"
    if tokens is Tokens.FEWER:
        return Label.UNEXPLAINED_GAIN, f"{shown}, and yet this loss takes fewer tokens: look at the tail"
    if tokens is Tokens.MORE:
        return Label.UNEXPLAINED_SLOWDOWN, f"{shown}, and yet this loss takes more tokens: look at the tail"
    if tokens is Tokens.SAME:
        return Label.EXECUTION_SIDE, f"{shown}, and this loss takes as many tokens"
    if performance.throughput_gain > SMALLEST_GAIN:
        return Label.EXECUTION_SIDE, f"{shown}, and the throughput is higher"
    missing = "unknown or too uncertain: give --throughput-ratio, align by loss, or scan more checkpoints"
    return Label.INCONCLUSIVE, f"{shown}; the tokens to this loss are {missing}"
