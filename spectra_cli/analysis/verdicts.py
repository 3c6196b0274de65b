"""A comparison in plain words: which places moved, in which direction, by how much; the strongest first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from spectra_cli.analysis.decisions import Verdict
from spectra_cli.analysis.differences import SiteDifference
from spectra_cli.analysis.findings import Finding, counts, findings
from spectra_cli.analysis.quantities import FRACTIONAL, is_distance, plain_name
from spectra_cli.analysis.site_pairs import component_words
from spectra_cli.statistics.statistic import (
    ACTIVATIONS,
    GRADIENT_MATRIX,
    GRADIENTS,
    WEIGHT_UPDATES,
    WEIGHTS,
)

MOST_PHRASES = 4
_OF = {
    ACTIVATIONS: "",
    GRADIENTS: "gradients of ",
    GRADIENT_MATRIX: "uncentred gradients of ",
    WEIGHTS: "weights of ",
    WEIGHT_UPDATES: "updates of ",
}
# name in the registry -> (what, where B is larger, where B is smaller)
_WORDS = {
    "head_exponent_1_10": ("head", "steeper", "flatter"),
    "head_exponent_2_10": ("head without its first direction", "steeper", "flatter"),
    "top1_share": ("share of the first direction", "larger", "smaller"),
    "top10_share": ("share of the first 10 directions", "larger", "smaller"),
    "rankme_cov": ("effective rank", "larger", "smaller"),
    "rankme_sv": ("effective rank", "larger", "smaller"),
    "stable_rank": ("stable rank", "larger", "smaller"),
    "gradient_noise_scale": ("noise scale", "larger", "smaller"),
    "jensen_shannon": ("Jensen-Shannon divergence", "", ""),
    "rank_wasserstein": ("rank W1 distance", "", ""),
    "log_spectral_distance_head": ("log-spectral distance of the head", "", ""),
    "log_spectral_distance_tail": ("log-spectral distance of the tail", "", ""),
    "head_movement": ("head movement", "", ""),
}


def verdict_lines(
    differences: Sequence[SiteDifference], *, axis: str, other: str, most: int = 8
) -> list[str]:
    """The comparison in sentences, the strongest finding first, then what was counted.

    Args:
        differences: decided ones of one pair of runs, in training order.
        axis: name of what the runs are aligned on.
        other: name of B.
        most: places that are told; the others are counted.
    """
    told = findings(differences)
    lines = [_sentence(found, differences, axis, other) for found in told[:most]]
    if len(told) > most:
        lines.append(f"and findings at {len(told) - most} more places; --format csv has every number")
    return [*lines, *_summary(differences)]


def _sentence(found: Sequence[Finding], differences: Sequence[SiteDifference], axis: str, other: str) -> str:
    """What moved at one place: `where: what, what, what at loss 3.28; head unchanged`."""
    kept = [one for one in found if _says_more(one, found)]
    phrases = [_moved(one, f" in {other}" if i == 0 else "") for i, one in enumerate(kept[:MOST_PHRASES])]
    left = len(found) - len(phrases)
    more = f" (and {left} more number{'s' * (left > 1)})" if left else ""
    points = len({d.target for d in differences})
    often = f", and so at {found[0].num_points} of {points} points" if points > 1 else ""
    return (
        f"{where(found[0])}: {', '.join(phrases)}{more} at {axis} {_number(found[0].target)}{often}"
        + _head(found, differences)
    )


def _says_more(one: Finding, beside: Sequence[Finding]) -> bool:
    """Whether a number adds to the others of its place: distances do not where a number with a sign moved."""
    names = [plain_name(other.statistic) for other in beside]
    if is_distance(one.statistic):
        signless = all(is_distance(name) for name in names)
        return signless and one is beside[0]
    return plain_name(one.statistic) != "head_exponent_2_10" or "head_exponent_1_10" not in names


def where(one: Finding) -> str:
    """The place of a finding in a reader's words: `gradients of attention output of layers 6-11`."""
    words = _OF.get(one.measurement, "") + component_words(one.component)
    if not one.layers:
        return words
    if len(one.layers) == 1:
        return f"{words} of layer {one.layers[0]}"
    whole = one.layers == tuple(range(one.layers[0], one.layers[-1] + 1))
    listed = f"{one.layers[0]}-{one.layers[-1]}" if whole else ", ".join(map(str, one.layers))
    return f"{words} of layers {listed}"


def _what(statistic: str) -> tuple[str, str, str]:
    plain = plain_name(statistic)
    if plain.startswith("tail_exponent"):
        return "tail", "steeper", "flatter"
    return _WORDS.get(plain, (plain, "larger", "smaller"))


def _moved(one: Finding, in_other: str) -> str:
    what, larger, smaller = _what(one.statistic)
    if is_distance(one.statistic):
        return f"{what} {_with_error(one.delta, one.stderr)}"
    size = abs(one.delta)
    if one.statistic.startswith("log_"):
        # a ratio that shrinks is told as the percentage that is lost
        percent = 100 * (math.expm1(size) if one.delta > 0 else -math.expm1(-size))
        error = 100 * math.exp(one.delta) * one.stderr
        amount = f"{_with_error(percent, error)} %"
    else:
        amount = _with_error(size, one.stderr)
    return f"{what} {larger if one.delta > 0 else smaller}{in_other} by {amount}"


def _with_error(value: float, stderr: float) -> str:
    """Two digits of an error that starts with 1, else one."""
    if not stderr > 0:
        return f"{value:.3g}"
    exponent = math.floor(math.log10(stderr))
    decimals = min(max(0, (stderr < 2 * 10.0**exponent) - exponent), 6)
    return f"{value:.{decimals}f} ± {stderr:.{decimals}f}"


def _number(target: float) -> str:
    return f"{target:.0f}" if target == round(target) else f"{target:.4f}"


def _head(found: Sequence[Finding], differences: Sequence[SiteDifference]) -> str:
    """`; head unchanged` beside a tail that moved, where equality of the head was shown."""
    if not any(plain_name(one.statistic).startswith("tail_exponent") for one in found):
        return ""
    place = found[0]
    heads = [
        d
        for d in differences
        if plain_name(d.statistic) == "head_exponent_1_10"
        and (d.measurement, d.site.component, d.target) == (place.measurement, place.component, place.target)
        and (d.site.layer in place.layers or not place.layers)
    ]
    return "; head unchanged" if heads and all(d.found.verdict is Verdict.EQUAL for d in heads) else ""


def _summary(differences: Sequence[SiteDifference]) -> list[str]:
    tally = counts(differences)
    lines = []
    if tally.judged:
        start = (
            f"{tally.different} of {tally.judged} differences above the noise floor"
            if tally.different
            else f"no difference: none of {tally.judged} numbers exceeds the noise floor"
        )
        lines.append(f"{start}; {tally.equal} shown to be equal, {tally.inconclusive} inconclusive")
    if tally.exact:
        lines.append(_exact_line([d for d in differences if d.standing == "exact"]))
    if tally.missing:
        lines.append(f"{tally.missing} numbers could not be compared; --format csv has the reasons")
    return lines


def _exact_line(exact: Sequence[SiteDifference]) -> str:
    if all(d.found.delta == 0.0 for d in exact):
        return f"{len(exact)} numbers without probe noise (weights) are identical"
    signed = [d for d in exact if plain_name(d.statistic) in ("rankme_sv", "stable_rank")]
    largest = max(signed or exact, key=lambda d: abs(d.found.delta))
    finding = Finding(
        measurement=largest.measurement,
        component=largest.site.component,
        layers=() if largest.site.layer is None else (largest.site.layer,),
        statistic=largest.statistic,
        target=largest.target,
        num_points=1,
        delta=largest.found.delta,
        stderr=0.0,
        strength=math.nan,
    )
    what, larger, smaller = _what(largest.statistic)
    ratio = math.exp(largest.found.delta) if largest.statistic.startswith("log_") else None
    change = (
        f"{what} times {ratio:.3g}"
        if ratio is not None
        else f"{what} {larger if largest.found.delta > 0 else smaller} by {abs(largest.found.delta):.3g}"
    )
    return (
        f"{len(exact)} numbers without probe noise (weights) have no floor to judge them by: only other "
        f"seeds would tell; largest: {where(finding)}: {change}"
    )


def relative_notes(differences: Sequence[SiteDifference]) -> list[str]:
    """What was compared at relative places, because the models' sizes differ."""
    notes = []
    pairs = {(d.site.layer, d.other.layer) for d in differences if d.site != d.other}
    if pairs:
        listed = ", ".join(f"{a} with {b}" for a, b in sorted(pairs, key=str)[:4])
        notes.append(
            f"different depth: layers are compared at relative depth ({listed}{', ...' * (len(pairs) > 4)}); "
            "they need not do the same"
        )
    if any(d.statistic.endswith(FRACTIONAL) for d in differences):
        notes.append(
            "different width: numbers that end in _frac are compared at relative rank; head exponents and "
            "shares at the same ranks"
        )
    return notes
