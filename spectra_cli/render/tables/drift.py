"""Tables of the drift of an archive."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from spectra_cli.analysis.drift.change import NO_LIFT, ChangeReading, Lift
from spectra_cli.analysis.drift.over_series import FIRST, PREVIOUS, DriftReport
from spectra_cli.analysis.drift.pairs import CheckpointPair, RankDrift, SiteDrift
from spectra_cli.core.measurements import WEIGHTS
from spectra_cli.core.paths import as_typed
from spectra_cli.core.words.names import listed
from spectra_cli.core.words.plurals import counted
from spectra_cli.render.table import Line, Part, Table, from_columns, line

_MOST_NAMED = 4
_SHORT = {
    ChangeReading.ON: "rotates",
    ChangeReading.OFF: "off",
    ChangeReading.UNDECIDED: "undecided",
    ChangeReading.UNCHANGED: "unchanged",
    None: "",
}

Found = Sequence[tuple[SiteDrift, RankDrift | None]]
Number = Callable[[SiteDrift, RankDrift | None], float]


def tables(report: DriftReport) -> Iterator[Part]:
    """The series, then the last pair: by kind of matrix, by matrix, by layer of activations.

    Of the larger subspaces there are the means only; the rows, and fewer ranks asked for, have the rest.
    """
    yield from heading(report)
    yield from verdicts(report)
    yield series_table(report)
    pair = (report.against(FIRST) or report.against(PREVIOUS))[-1]
    for place in range(max(len(report.ranks), 1)):
        yield from kinds_table(report, pair, place)
    yield from matrices_table(report, pair)
    yield from activations_table(report, pair)


def heading(report: DriftReport) -> Iterator[Line]:
    """What was compared, and what the numbers are."""
    keys, reference = [ref.key for ref in report.refs], report.provenance.setting_facts.reference
    yield line(
        (as_typed(report.path), "bold"),
        f"  {len(keys)} checkpoint{'s' * (len(keys) > 1)}, {keys[0]} to {keys[-1]}"
        f"{f'; reference {reference}' if reference else ''}",
    )
    ranks = ", ".join(map(str, report.ranks))
    vectors = f"{report.num_vectors} vectors a spectrum; k = {ranks}; " if report.num_vectors else ""
    yield line(f"{vectors}weights carry no sampling error: [..] are quartiles over matrices")
    for notice in report.notices:
        yield line(notice, style="yellow")


def verdicts(report: DriftReport) -> Iterator[Line]:
    """In words, for the last checkpoint against the first: one line a rank."""
    for pair in report.against(FIRST)[-1:]:
        readings = [pair.reading(place) for place in range(len(report.ranks))]
        for place, (asked, reading) in enumerate(zip(report.ranks, readings, strict=True)):
            if any(readings):
                found = _weights_at(report, pair, place)
                yield line(
                    f"{pair.before} to {pair.after}, k = {asked}: ",
                    (str(reading), "bold"),
                    f" (of {counted(len(found), 'matrix', 'matrices')}: {_common(found)})",
                )


def series_table(report: DriftReport) -> Table:
    """One row a checkpoint: means over the same matrices, against the first and the previous one."""
    common, missing = _measured_throughout(report)
    of_last = {
        ref.key: [overlap for site, overlap in by_site.items() if site in common]
        for ref, by_site in report.similarity.items()
    }
    keys = [ref.key for ref in report.refs]
    columns: dict[str, list[str]] = {"step": [key.removeprefix("step") for key in keys]}
    for against, word in ((FIRST, "first"), (PREVIOUS, "prev.")):
        pairs = {pair.after: pair for pair in report.against(against)}
        if not pairs:
            continue
        found = [pairs.get(key) for key in keys]
        if against == FIRST and any(pair.before != keys[0] for pair in pairs.values()):
            word = "ref."  # the checkpoint that was named, not one of these

        def means(
            number: Number,
            shown: Callable[[float], str],
            found: Sequence[CheckpointPair | None] = found,
        ) -> list[str]:
            return [
                "-"
                if pair is None
                else shown(
                    _mean(number(s, r) for s, r in _weights_at(report, pair, 0) if s.site.address in common)
                )
                for pair in found
            ]

        columns[f"shift\nfrom {word}"] = means(_shift, _scientific)
        columns[f"angle (°)\nfrom {word}"] = means(_mean_angle, _degrees)
        if against == FIRST:
            columns["energy\nlift"] = means(_energy, _plain)
            columns["visible\nshare"] = means(
                lambda site, _: math.nan if site.change is None else site.change.visible_share, _plain
            )
            columns["reading"] = [_SHORT[pair.reading(0)] if pair and report.ranks else "" for pair in found]
    columns["overlap\nwith last"] = [_plain(_mean(of_last.get(key, ()))) for key in keys]
    k = f" at k = {report.ranks[0]}" if report.ranks else ""
    rank = report.similarity_rank
    with_last = f"; overlap of the right subspaces at k = {rank}" if rank else ""
    title = f"Weights over the series: means over matrices{k}{with_last}"
    notes = []
    if missing:
        named = listed((site.removeprefix("blocks.") for site in missing), _MOST_NAMED)
        said = (
            f"means over the {counted(len(common), 'matrix', 'matrices')} with a number in every "
            f"pair; not over {named}"
        )
        notes = [line(said, style="dim")]
    return _table(columns, title, *notes, keys_are_numbers=True)


def _measured_throughout(report: DriftReport) -> tuple[frozenset[str], list[str]]:
    """Weights with a shift in every pair, or in any where none is in all; and those that are left out."""
    pairs = [{s.site.address: s.shift for s, _ in _weights_at(report, p, 0)} for p in report.pairs]
    there = dict.fromkeys(site for pair in pairs for site in pair)
    common = frozenset(
        s for s in there if not any(math.isnan(pair.get(s, math.nan)) for pair in pairs if pair)
    )
    if not common:
        return frozenset(there), []
    zeros = [s.site.address for pair in report.pairs for s in _weights(pair)]
    return common, [site for site in dict.fromkeys((*there, *zeros)) if site not in common]


def kinds_table(report: DriftReport, pair: CheckpointPair, place: int) -> Iterator[Table]:
    """A pair by kind of matrix: means and quartiles over layers."""
    found = _weights_at(report, pair, place)
    groups: dict[str, list[tuple[SiteDrift, RankDrift | None]]] = {}
    for one in found:
        groups.setdefault(one[0].site.component, []).append(one)
    rows: list[tuple[str, Found]] = list(groups.items())
    if len(rows) > 1:
        rows.append(("all", [one for group in groups.values() for one in group]))
    columns: dict[str, list[str]] = {
        "matrix": [kind for kind, _ in rows],
        "n": [_number_of(group) for _, group in rows],
        "shift": [_spread(group, _shift, _scientific) for _, group in rows],
        "mean angle (°)": [_spread(group, _mean_angle, _degrees) for _, group in rows],
        "energy lift": [_spread(group, _energy, _short) for _, group in rows],
        "reading": [_common(group) for _, group in rows],
    }
    if rows:
        yield _table(columns, _title(report, pair, place, "mean [quartiles] by matrix"), *_zeros(pair))


def matrices_table(report: DriftReport, pair: CheckpointPair) -> Iterator[Table]:
    """A pair, one row a matrix, with the evidence and the scatter of chance behind each reading."""
    found = _weights_at(report, pair, 0)
    if not found:
        return
    columns: dict[str, list[str]] = {"matrix": [s.site.address.removeprefix("blocks.") for s, _ in found]}
    columns["shift"] = [_scientific(s.shift) for s, _ in found]
    ranks = [rank for _, rank in found if rank is not None]
    if ranks:
        changes = [s.change for s, _ in found]
        columns["k"] = [_cut(r) for r in ranks]
        columns["left\n(°)"] = [_degrees(r.left.mean_degrees if r.left else math.nan) for r in ranks]
        columns["right\n(°)"] = [_degrees(r.right.mean_degrees) for r in ranks]
        columns["turning\nlift"] = [_with_noise(r.rotation) for r in ranks]
        columns["energy\nlift"] = [_with_noise(r.energy) for r in ranks]
        columns["on princ.\nlift"] = [_with_noise(c.mask_principal if c else NO_LIFT) for c in changes]
        columns["on small\nlift"] = [_with_noise(c.mask_small if c else NO_LIFT) for c in changes]
        columns["reading"] = [_SHORT[r.reading] for r in ranks]
    yield _table(columns, _title(report, pair, 0, "every matrix"), *_notes(report, ranks))


def _title(report: DriftReport, pair: CheckpointPair, place: int, what: str) -> str:
    at_k = f", k = {report.ranks[place]}" if report.ranks else ""
    return f"{pair.after} against {pair.before}{at_k}: {what}"


def _cut(rank: RankDrift) -> str:
    return f"{rank.cut.rank}{'' if rank.cut.well_defined else '*'}"


def _zeros(pair: CheckpointPair) -> Iterator[Line]:
    """Which weights have no direction to turn."""
    sites = [s.site.address.removeprefix("blocks.") for s in _weights(pair) if math.isnan(s.shift)]
    if sites:
        named = listed(sites, _MOST_NAMED, of=" (--json names them)")
        yield line(f"zero at {pair.before}, so without directions: {named}", style="dim")


def activations_table(report: DriftReport, pair: CheckpointPair) -> Iterator[Table]:
    """A pair's activations: how far their leading directions turned, and what sampling alone does."""
    sites = [s for s in pair.sites if s.measurement != WEIGHTS and s.ranks]
    ranks = [s.ranks[0] for s in sites]
    if not ranks:
        return
    columns = {
        "layer": [s.site.address.removeprefix("blocks.").removesuffix(".resid_post") for s in sites],
        "k": [_cut(r) for r in ranks],
        "overlap": [f"{r.right.overlap:.5f}" for r in ranks],
        "chance": [_plain(r.right.chance) for r in ranks],
        "turned": [_scientific(r.right.turned) for r in ranks],
        "sampling\nturns": [_scientific(r.sampling_turn) for r in ranks],
        "mean\nangle (°)": [_degrees(r.right.mean_degrees) for r in ranks],
        "largest\nangle (°)": [_degrees(r.right.max_degrees) for r in ranks],
    }
    note = line(
        "turned is 1 - overlap; sampling turns: the same between two independent probes, if all rows were "
        "independent (tokens of a sequence are not): another probe may not show a turning below it",
        style="dim",
    )
    yield _table(columns, _title(report, pair, 0, "activations"), note, *_cut_notes(report, ranks))


def _notes(report: DriftReport, ranks: Sequence[RankDrift]) -> Iterator[Line]:
    """How to read the columns, and what limits them."""
    if not ranks:
        return
    yield from _cut_notes(report, ranks)
    said = ["left, right: mean principal angles of the singular subspaces; no error: nothing is sampled"]
    if any(rank.reading for rank in ranks):
        said.append(
            "lifts: over chance, ± its scatter by chance. turning: than by a random change of this size; "
            "energy: of the change inside both subspaces; on princ., on small: visible entries on large "
            "entries of the principal part, and on small weights"
        )
        if all(math.isnan(rank.rotation.value) for rank in ranks):
            said.append("no turning lift: the change is too large, or the gap too narrow, to tell chance")
        if all(math.isnan(rank.energy.value) for rank in ranks):
            said.append("no energy lift: it is kept at powers of two and at the number of vectors")
    yield from (line(words, style="dim") for words in said)


def _cut_notes(report: DriftReport, ranks: Sequence[RankDrift]) -> Iterator[Line]:
    asked = report.ranks[0]
    moved = sum(rank.cut.rank != asked for rank in ranks)
    if not all(rank.cut.well_defined for rank in ranks):
        yield line(
            "* the gap behind the last direction is below 5 %: where it is cut is arbitrary", style="dim"
        )
    if moved:
        yield line(
            f"k is not {asked} in {moved} of {len(ranks)}: cut where the gap is 5 % or more, or at the last "
            "direction there is; --format csv has each reason",
            style="dim",
        )


def _table(
    columns: Mapping[str, Sequence[str]], title: str, *notes: Line, keys_are_numbers: bool = False
) -> Table:
    return from_columns(
        columns,
        title=title,
        keys_are_numbers=keys_are_numbers,
        left=("reading",),
        notes=notes,
    )


def _weights(pair: CheckpointPair) -> list[SiteDrift]:
    return [site for site in pair.sites if site.measurement == WEIGHTS]


def _weights_at(report: DriftReport, pair: CheckpointPair, place: int) -> Found:
    """The weights at a rank, without those that have no directions; without vectors there is no rank."""
    if not report.ranks:
        return [(site, None) for site in _weights(pair)]
    return [(site, site.ranks[place]) for site in _weights(pair) if place < len(site.ranks)]


def _common(found: Found) -> str:
    counts = Counter(_SHORT[rank.reading] for _, rank in found if rank and rank.reading)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _number_of(found: Found) -> str:
    """Matrices with a number, and of how many where that is not all."""
    known = sum(not math.isnan(site.shift) for site, _ in found)
    return str(known) if known == len(found) else f"{known} of {len(found)}"


def _spread(found: Found, number: Number, shown: Callable[[float], str]) -> str:
    values = [value for one in found if not math.isnan(value := number(*one))]
    if not values:
        return "-"
    low, high = np.quantile(values, (0.25, 0.75))
    words = [shown(value) for value in (_mean(values), float(low), float(high))]
    return words[0] if len(set(words)) == 1 else f"{words[0]} [{words[1]}, {words[2]}]"


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _shift(site: SiteDrift, _: RankDrift | None) -> float:
    return site.shift


def _mean_angle(_: SiteDrift, rank: RankDrift | None) -> float:
    return _mean(side.mean_degrees for side in rank.sides) if rank else math.nan


def _energy(_: SiteDrift, rank: RankDrift | None) -> float:
    return rank.energy.value if rank else math.nan


def _scientific(value: float) -> str:
    """Two digits; as a power of ten below 0.01."""
    if math.isnan(value):
        return "-"
    if value >= 10:
        return f"{value:.3g}"
    return "0" if value == 0 else f"{value:#.2g}" if value >= 0.01 else f"{value:.1e}".replace("e-0", "e-")


def _plain(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}" if value < 100 else f"{value:.3g}"


def _degrees(value: float) -> str:
    """Two or three digits; below 1e-4 degrees an angle is rounding of the archived vectors."""
    if math.isnan(value):
        return "-"
    return "<1e-4" if value < 1e-4 else f"{value:#.2g}" if value < 1 else f"{value:.1f}"


def _with_noise(lift: Lift) -> str:
    value = _short(lift.value)
    return value if math.isnan(lift.value) or math.isnan(lift.noise) else f"{value}±{_short(lift.noise)}"
