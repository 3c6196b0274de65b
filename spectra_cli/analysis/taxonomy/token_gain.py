"""What an intervention is good for: tokens to equal loss, and throughput.

See docs/explanation/comparing.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from spectra_cli.analysis.brackets import Bracket

# A gain in tokens or throughput below this share is none.
SMALLEST_GAIN = 0.02


class Tokens(StrEnum):
    """What the intervention does to the tokens that the aligned loss takes."""

    FEWER = "fewer"
    SAME = "same"
    MORE = "more"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """What the intervention is good for, where known.

    Attributes:
        token_gain: tokens of the baseline over tokens of the intervention at equal loss, less one; NaN
            where unknown.
        token_gain_error: what interpolation between checkpoints and the noise of the loss may add; NaN where
            that is unknown, and then so is what the gain says.
        throughput_gain: of the intervention over the baseline, less one, measured on hardware that nothing
            else used; NaN where unknown.
    """

    token_gain: float = math.nan
    token_gain_error: float = 0.0
    throughput_gain: float = math.nan

    @property
    def tokens(self) -> Tokens:
        """The gain in tokens against 2 %, with its error on the unfavourable side."""
        gain, error = self.token_gain, self.token_gain_error
        if gain - error > SMALLEST_GAIN:
            return Tokens.FEWER
        if gain + error < -SMALLEST_GAIN:
            return Tokens.MORE
        return Tokens.SAME if abs(gain) + error <= SMALLEST_GAIN else Tokens.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensAt:
    """The tokens that a run had seen at an aligned point.

    Attributes:
        tokens: log-linear between the point's checkpoints; NaN where unknown.
        interpolation: relative distance of linear from log-linear interpolation.
        per_nat: relative change of tokens for a nat of loss; NaN where unknown.
    """

    tokens: float
    interpolation: float
    per_nat: float


def tokens_at(
    tokens: Sequence[float | None], point: Bracket, losses: Sequence[float] | None = None
) -> TokensAt:
    """The tokens of a run at a point between two of its checkpoints.

    Args:
        tokens: seen at each checkpoint; None where unknown.
        point: between which checkpoints.
        losses: at each checkpoint, where the runs are aligned on them.

    >>> tokens_at([100.0, 400.0], Bracket(before=0, after=1, share=0.5, gap=0.0)).tokens
    200.0
    """
    first, second = tokens[point.before], tokens[point.after]
    if first is None or second is None:
        return TokensAt(tokens=math.nan, interpolation=math.nan, per_nat=math.nan)
    linear = first + point.share * (second - first)
    if first <= 0:
        return TokensAt(tokens=linear, interpolation=0.0 if first == second else math.inf, per_nat=math.nan)
    between = first * (second / first) ** point.share
    per_nat = math.nan
    if losses is not None and (step := losses[point.after] - losses[point.before]):
        per_nat = math.log(second / first) / step
    return TokensAt(tokens=between, interpolation=linear / between - 1.0, per_nat=per_nat)


def performance(
    baseline: TokensAt,
    intervention: TokensAt,
    *,
    loss_stderr: float = math.nan,
    throughput_ratio: float | None = None,
) -> Performance:
    """Gains of the intervention over the baseline.

    Args:
        baseline, intervention: of each at the same loss.
        loss_stderr: of the difference of their losses; two of them count as error. NaN where unknown.
        throughput_ratio: tokens a second of the intervention over those of the baseline, where measured.
    """
    ratio = baseline.tokens / intervention.tokens if intervention.tokens > 0 else math.nan
    slopes = [abs(run.per_nat) for run in (baseline, intervention) if math.isfinite(run.per_nat)]
    from_loss = 2.0 * loss_stderr * max(slopes, default=math.nan)
    error = ratio * math.hypot(baseline.interpolation, intervention.interpolation, from_loss)
    return Performance(
        token_gain=ratio - 1.0,
        token_gain_error=error,
        throughput_gain=math.nan if throughput_ratio is None else throughput_ratio - 1.0,
    )
