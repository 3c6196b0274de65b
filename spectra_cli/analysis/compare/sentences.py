"""A comparison in plain words: which places moved, in which direction, by how much; the strongest first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from spectra_cli.analysis.compare.decisions import FALSE_DISCOVERY_RATE
from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.compare.findings import Counts, Finding, counts, finding_of, findings
from spectra_cli.analysis.compare.quantities import FRACTIONAL, described, is_distance, plain_name
from spectra_cli.core.measurements import ACTIVATIONS, measurement_words
from spectra_cli.core.words.numbers import target_words, with_error
from spectra_cli.core.words.places import component_words
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.statistics.statistic import Definition

MOST_PHRASES = 4


def finding_lines(
    differences: Sequence[SiteDifference], *, axis: str, other: str, most: int = 8
) -> list[str]:
    """What moved, in sentences, the strongest finding first.

    Args:
        differences: decided ones of one pair of runs, in training order.
        axis: name of what the runs are aligned on.
        other: name of B.
        most: places that are told; the others are counted.
    """
    told = findings(differences)
    targets = tuple(dict.fromkeys(d.target for d in differences))
    places: dict[tuple[str, str], list[SiteDifference]] = {}
    for one in differences:
        places.setdefault((one.measurement, one.site.component), []).append(one)
    lines = [
        _sentence(found, places[found[0].measurement, found[0].component], targets, axis, other)
        for found in told[:most]
    ]
    if len(told) > most:
        lines.append(
            f"and findings at {counted(len(told) - most, 'more place')}; --format csv has every number"
        )
    return lines


def _sentence(
    found: Sequence[Finding],
    here: Sequence[SiteDifference],
    targets: Sequence[float],
    axis: str,
    other: str,
) -> str:
    """What moved at one place: `where: what, what, what at loss 3.28, ...; head equal within 0.05`.

    Args:
        found: its findings at one point.
        here: all differences of that measurement and component.
        targets: all aligned points.
        axis, other: see `finding_lines`.
    """
    kept = [one for one in found if _says_more(one, found)][:MOST_PHRASES]
    phrases = [_moved(one, f" in {other}" if i == 0 else "") for i, one in enumerate(kept)]
    left = len(found) - len(phrases)
    more = f" (and {left} more number{'s' * (left > 1)})" if left else ""
    at = f"{axis} {target_words(found[0].target, axis)}"
    beside = _elsewhere(kept, here, targets) + _head(found, here)
    return f"{where(found[0])}: {', '.join(phrases)}{more} at {at}{beside}"


def _elsewhere(told: Sequence[Finding], here: Sequence[SiteDifference], targets: Sequence[float]) -> str:
    """At how many other points each of these numbers moved so, in half of the layers or more."""
    others = [target for target in targets if target != told[0].target]
    if not others:
        return ""
    shares = [min(_moved_so(one, target, here) for one in told) for target in others]
    likewise = [share for share in shares if share >= 0.5]
    so = "likewise" if min(likewise, default=1.0) == 1.0 else "likewise in half of the layers or more"
    if len(others) == 1:
        return f", {so if likewise else 'not so'} at the other point"
    if len(likewise) == len(others):
        return f", {so} at all other points"
    return f", {so} at {len(likewise) or 'none'} of the other {len(others)} points"


def _moved_so(one: Finding, target: float, here: Sequence[SiteDifference]) -> float:
    """The share of a finding's layers in which its number moved the same way at another point."""
    same = [
        d
        for d in here
        if d.statistic == one.statistic
        and d.target == target
        and (d.site.layer in one.layers or not one.layers)
    ]
    moved = sum(d.is_different and (d.found.delta > 0) == (one.delta > 0) for d in same)
    return moved / len(same) if same else 0.0


def _says_more(one: Finding, beside: Sequence[Finding]) -> bool:
    """Whether a number adds to the others of its place: distances do not where a number with a sign moved."""
    names = [plain_name(other.statistic) for other in beside]
    if is_distance(one.statistic):
        signless = all(is_distance(name) for name in names)
        return signless and one is beside[0]
    return plain_name(one.statistic) != "head_exponent_2_10" or "head_exponent_1_10" not in names


def where(one: Finding) -> str:
    """The place of a finding in a reader's words: `gradients of attention output of layers 6-11`."""
    of = "" if one.measurement == ACTIVATIONS else f"{measurement_words(one.measurement)} of "
    words = of + component_words(one.component)
    if not one.layers:
        return words
    if len(one.layers) == 1:
        return f"{words} of layer {one.layers[0]}"
    whole = one.layers == tuple(range(one.layers[0], one.layers[-1] + 1))
    listed = f"{one.layers[0]}-{one.layers[-1]}" if whole else ", ".join(map(str, one.layers))
    return f"{words} of layers {listed}"


def _moved(one: Finding, in_other: str) -> str:
    of = described(one.statistic)
    what = (of.phrase if of is not None else "") or plain_name(one.statistic)
    if not isinstance(of, Definition):
        return f"{what} {_spaced(one.delta, one.stderr)}"
    size = abs(one.delta)
    if one.statistic.startswith("log_"):
        # a ratio that shrinks is told as the percentage that is lost
        percent = 100 * (math.expm1(size) if one.delta > 0 else -math.expm1(-size))
        amount = f"{_spaced(percent, 100 * math.exp(one.delta) * one.stderr)} %"
    else:
        amount = _spaced(size, one.stderr)
    return f"{what} {of.family.larger if one.delta > 0 else of.family.smaller}{in_other} by {amount}"


def _spaced(value: float, stderr: float) -> str:
    return with_error(value, stderr, digits=3).replace("±", " ± ")


def _head(found: Sequence[Finding], here: Sequence[SiteDifference]) -> str:
    """Beside a tail that moved alone: whether the head was shown to be equal, or only not to differ."""
    names = [plain_name(one.statistic) for one in found]
    if not any(name.startswith("tail_exponent") for name in names) or "head_exponent_1_10" in names:
        return ""
    place = found[0]
    heads = [
        d
        for d in here
        if plain_name(d.statistic) == "head_exponent_1_10"
        and d.target == place.target
        and (d.site.layer in place.layers or not place.layers)
    ]
    if not heads or any(d.is_different for d in heads):
        return ""
    if not all(math.isfinite(d.found.p_value) for d in heads):
        return "; head unknown"
    shown = all(d.standing == "equal" for d in heads)
    return f"; head equal within {heads[0].found.margin:g}" if shown else "; head not shown to differ"


def summary_lines(differences: Sequence[SiteDifference], other: str) -> list[str]:
    """What was counted: how many numbers differ, are equal, or cannot be judged; `other`: name of B."""
    tally = counts(differences)
    lines = []
    if tally.judged:
        unknown = sum(d.standing == "inconclusive" and math.isnan(d.found.p_value) for d in differences)
        points = len({d.target for d in differences})
        numbers = f"{tally.judged} number{'s' * (tally.judged != 1)}"
        together = f", all {points} points together" if points > 1 else ""
        start = (
            f"{tally.different} of {numbers} differ{together}"
            if tally.different
            else f"no difference found among {numbers}{together}"
        )
        rest = f"{tally.equal} equal within their margins, {tally.inconclusive - unknown} not shown to differ"
        told = f"{start}; {rest}{f', {unknown} unknown: no standard error' if unknown else ''}"
        lines.append(
            f"none of {numbers} can be judged: no standard error" if unknown == tally.judged else told
        )
        lines += _one_bound_alone(tally)
    if tally.exact:
        lines.append(_exact_line([d for d in differences if d.standing == "exact"], other))
    if tally.missing:
        lines.append(
            f"{counted(tally.missing, 'number')} could not be compared; --format csv has the reasons"
        )
    return lines


def _one_bound_alone(tally: Counts) -> list[str]:
    """What passed one of the two bounds that a difference must pass, and not the other one."""
    told = []
    if tally.floor_alone:
        told.append(
            f"{tally.floor_alone} at or above the noise floor, but not beyond chance among so many "
            f"(false discovery rate {FALSE_DISCOVERY_RATE:.0%})".replace("%", " %")
        )
    if tally.correction_alone:
        told.append(f"{tally.correction_alone} beyond chance on this probe, but below the noise floor")
    return [f"of those that do not count as different, {'; '.join(told)}"] if told else []


def _exact_line(exact: Sequence[SiteDifference], other: str) -> str:
    """What is measured without noise, and so without a verdict; the largest in units of its margin."""
    largest = max(exact, key=lambda d: abs(d.found.delta) / d.found.margin)
    if largest.found.delta == 0.0:
        return f"{counted(len(exact), 'number')} without probe noise (weights) {agreed(len(exact))} identical"
    finding = replace(finding_of([largest]), stderr=math.nan)
    return (
        f"{counted(len(exact), 'number')} without probe noise (weights) "
        f"{agreed(len(exact), 'has', 'have')} no floor to be judged by: only other "
        f"seeds would tell; largest: {where(finding)}: {_moved(finding, f' in {other}')}"
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
            "different width: numbers that end in frac are compared at relative rank; head exponents and "
            "shares at the same ranks"
        )
    return notes
