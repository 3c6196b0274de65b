"""Tables of the drift of an archive, from its JSON document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spectra_cli.core.measurements import WEIGHTS
from spectra_cli.core.paths import as_typed
from spectra_cli.core.words.names import listed
from spectra_cli.render.table import Line, Part, Table, from_columns, line

Document = Mapping[str, Any]
_MOST_NAMED = 4
_SHORT = {
    "rotates the principals": "rotates",
    "stays off the principals": "off",
    "undecided": "undecided",
    "unchanged": "unchanged",
    None: "",
}


def tables(document: Document) -> Iterator[Part]:
    """The series, then the last pair: by kind of matrix, by matrix, by layer of activations.

    Of the larger subspaces there are the means only; the rows, and fewer ranks asked for, have the rest.
    """
    yield from heading(document, as_typed(Path(document["archive"])))
    yield from verdicts(document)
    yield series_table(document)
    against = "first" if _last(document, "first") else "previous"
    last = [kinds_table(document, against, place) for place in range(max(len(document["ranks"]), 1))]
    last += [table(document, against, 0) for table in (matrices_table, activations_table)]
    yield from (table for table in last if table is not None)


def heading(document: Document, shown_path: str) -> Iterator[Line]:
    """What was compared, and what the numbers are."""
    keys, kept = document["checkpoints"], document["num_vectors"]
    reference = f"; reference {document['reference']}" if document["reference"] else ""
    yield line(
        (shown_path, "bold"),
        f"  {len(keys)} checkpoint{'s' * (len(keys) > 1)}, {keys[0]} to {keys[-1]}{reference}",
    )
    vectors = f"{kept} vectors a spectrum; k = {', '.join(map(str, document['ranks']))}; " if kept else ""
    yield line(f"{vectors}weights carry no sampling error: [..] are quartiles over matrices")
    for notice in document["notices"]:
        yield line(notice, style="yellow")


def verdicts(document: Document) -> Iterator[Line]:
    """In words, for the last checkpoint against the first: one line a rank."""
    pair = _last(document, "first")
    if pair is None or not any(pair["readings"]):
        return
    for place, (asked, reading) in enumerate(zip(document["ranks"], pair["readings"], strict=True)):
        found = _weights_at(pair, place)
        yield line(
            f"{pair['before']} to {pair['after']}, k = {asked}: ",
            (str(reading), "bold"),
            f" (of {len(found)} matrices: {_common(found)})",
        )


def series_table(document: Document) -> Table:
    """One row a checkpoint: means over the same matrices, against the first and the previous one."""
    common, missing = _measured_throughout(document)
    of_last = {
        c["checkpoint"]: [site["overlap"] for site in c["sites"] if site["site"] in common]
        for c in document["similarity"]["checkpoints"]
    }
    keys = document["checkpoints"]
    columns: dict[str, list[str]] = {"step": [key.removeprefix("step") for key in keys]}
    for against, word in (("first", "first"), ("previous", "prev.")):
        pairs = {p["after"]: p for p in document["pairs"] if p["against"] == against}
        if not pairs:
            continue
        found = [pairs.get(key) for key in keys]
        if against == "first" and any(p["before"] != keys[0] for p in pairs.values()):
            word = "ref."  # the checkpoint that was named, not one of these
        columns[f"shift\nfrom {word}"] = [_cell(p, common, _shift, _scientific) for p in found]
        columns[f"angle (°)\nfrom {word}"] = [_cell(p, common, _mean_angle, _degrees) for p in found]
        if against == "first":
            columns["energy\nlift"] = [_cell(p, common, _lift_of("energy_lift"), _plain) for p in found]
            columns["visible\nshare"] = [
                _cell(p, common, lambda s, _: s["visible_share"], _plain) for p in found
            ]
            columns["reading"] = [_SHORT[p["readings"][0]] if p and p["readings"] else "" for p in found]
    columns["overlap\nwith last"] = [_plain(_mean(of_last.get(key, ()))) for key in keys]
    k = f" at k = {document['ranks'][0]}" if document["ranks"] else ""
    rank = document["similarity"]["rank"]
    with_last = f"; overlap of the right subspaces at k = {rank}" if rank else ""
    title = f"Weights over the series: means over matrices{k}{with_last}"
    notes = []
    if missing:
        named = listed((site.removeprefix("blocks.") for site in missing), _MOST_NAMED)
        notes = [
            line(
                f"means over the {len(common)} matrices with a number in every pair; not over {named}",
                style="dim",
            )
        ]
    return _table(columns, title, *notes, keys_are_numbers=True)


def _measured_throughout(document: Document) -> tuple[frozenset[str], list[str]]:
    """Weights with a shift in every pair, or in any where none is in all; and those that are left out."""
    pairs = [
        {site["site"]: _shift(site, rank) for site, rank in _weights_at(pair, 0)}
        for pair in document["pairs"]
    ]
    there = dict.fromkeys(site for pair in pairs for site in pair)
    common = frozenset(s for s in there if all(pair.get(s) is not None for pair in pairs if pair))
    if not common:
        return frozenset(there), []
    zeros = [s["site"] for p in document["pairs"] for s in p["sites"] if s["measurement"] == WEIGHTS]
    return common, [site for site in dict.fromkeys((*there, *zeros)) if site not in common]


def kinds_table(document: Document, against: str, place: int) -> Table | None:
    """The last pair by kind of matrix: means and quartiles over layers."""
    pair = _last(document, against)
    if pair is None or not _weights_at(pair, place):
        return None
    groups: dict[str, list[tuple[Any, Any]]] = {}
    for site, rank in _weights_at(pair, place):
        groups.setdefault(site["component"], []).append((site, rank))
    rows = list(groups.items())
    if len(rows) > 1:
        rows.append(("all", [item for found in groups.values() for item in found]))
    columns: dict[str, list[str]] = {
        "matrix": [kind for kind, _ in rows],
        "n": [_number_of(found) for _, found in rows],
        "shift": [_spread(found, _shift, _scientific) for _, found in rows],
        "mean angle (°)": [_spread(found, _mean_angle, _degrees) for _, found in rows],
        "energy lift": [_spread(found, _lift_of("energy_lift"), _short) for _, found in rows],
        "reading": [_common(found) for _, found in rows],
    }
    title = f"{pair['after']} against {pair['before']}{_at_k(document, place)}: mean [quartiles] by matrix"
    return _table(columns, title, *_zeros(pair))


def matrices_table(document: Document, against: str, place: int) -> Table | None:
    """The last pair, one row a matrix, with the evidence and the scatter of chance behind each reading."""
    pair = _last(document, against)
    found = [] if pair is None else _weights_at(pair, place)
    if pair is None or not found:
        return None
    columns: dict[str, list[str]] = {"matrix": [s["site"].removeprefix("blocks.") for s, _ in found]}
    columns["shift"] = [_scientific(s["spectral_shift"]) for s, _ in found]
    if document["ranks"]:
        columns["k"] = [_cut(r) for _, r in found]
        columns["left\n(°)"] = [_degrees(_of(r["left"], "mean_degrees")) for _, r in found]
        columns["right\n(°)"] = [_degrees(_of(r["right"], "mean_degrees")) for _, r in found]
        columns["turning\nlift"] = [_with_noise(r["rotation_lift"]) for _, r in found]
        columns["energy\nlift"] = [_with_noise(r["energy_lift"]) for _, r in found]
        columns["on princ.\nlift"] = [_with_noise(s["mask_lift_principal"]) for s, _ in found]
        columns["on small\nlift"] = [_with_noise(s["mask_lift_small"]) for s, _ in found]
        columns["reading"] = [_SHORT[r["reading"]] for _, r in found]
    title = f"{pair['after']} against {pair['before']}{_at_k(document, place)}: every matrix"
    return _table(columns, title, *_notes(document, place, [r for _, r in found]))


def _at_k(document: Document, place: int) -> str:
    return f", k = {document['ranks'][place]}" if document["ranks"] else ""


def _cut(rank: Mapping[str, Any]) -> str:
    return f"{rank['rank']}{'' if rank['status'] == 'ok' else '*'}"


def _zeros(pair: Mapping[str, Any]) -> Iterator[Line]:
    """Which weights have no direction to turn."""
    sites = [s["site"] for s in pair["sites"] if s["measurement"] == WEIGHTS and s["spectral_shift"] is None]
    if sites:
        named = ", ".join(site.removeprefix("blocks.") for site in sites[:4])
        more = f" and {len(sites) - 4} more (--json names them)" if len(sites) > 4 else ""
        yield line(f"zero at {pair['before']}, so without directions: {named}{more}", style="dim")


def activations_table(document: Document, against: str, place: int) -> Table | None:
    """The last pair's activations: how far their leading directions turned, and what sampling alone does."""
    pair = _last(document, against)
    sites = [] if pair is None else [s for s in pair["sites"] if s["measurement"] != WEIGHTS]
    found = [(s, s["ranks"][place]) for s in sites if place < len(s["ranks"])]
    if pair is None or not found:
        return None
    columns = {
        "layer": [s["site"].removeprefix("blocks.").removesuffix(".resid_post") for s, _ in found],
        "k": [_cut(r) for _, r in found],
        "overlap": [f"{r['right']['overlap']:.5f}" for _, r in found],
        "chance": [_plain(r["right"]["chance"]) for _, r in found],
        "turned": [_scientific(r["right"]["turned"]) for _, r in found],
        "sampling\nturns": [_scientific(r["sampling_turn"]) for _, r in found],
        "mean\nangle (°)": [_degrees(r["right"]["mean_degrees"]) for _, r in found],
        "largest\nangle (°)": [_degrees(r["right"]["max_degrees"]) for _, r in found],
    }
    title = f"{pair['after']} against {pair['before']}{_at_k(document, place)}: activations"
    note = line(
        "turned is 1 - overlap; sampling turns: the same between two independent probes, if all rows were "
        "independent (tokens of a sequence are not): another probe may not show a turning below it",
        style="dim",
    )
    return _table(columns, title, note, *_cut_notes(document, place, [r for _, r in found]))


def _notes(document: Document, place: int, ranks: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """How to read the columns, and what limits them."""
    if not document["ranks"]:
        return
    yield from _cut_notes(document, place, ranks)
    yield line(
        "left, right: mean principal angles of the singular subspaces; no error: nothing is sampled",
        style="dim",
    )
    if any(rank["reading"] for rank in ranks):
        yield line(
            "lifts: over chance, ± its scatter by chance. turning: than by a random change of this size; "
            "energy: of the change inside both subspaces; on princ., on small: visible entries on large "
            "entries of the principal part, and on small weights",
            style="dim",
        )
    if all(rank["rotation_lift"] is None for rank in ranks) and any(rank["reading"] for rank in ranks):
        yield line(
            "no turning lift: the change is too large, or the gap too narrow, to tell chance", style="dim"
        )
    if any(rank["reading"] for rank in ranks) and all(rank["energy_lift"] is None for rank in ranks):
        yield line("no energy lift: it is kept at powers of two and at the number of vectors", style="dim")


def _cut_notes(document: Document, place: int, ranks: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    asked = document["ranks"][place]
    moved = sum(rank["rank"] != asked for rank in ranks)
    if any(rank["status"] != "ok" for rank in ranks):
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


def _last(document: Document, against: str) -> Mapping[str, Any] | None:
    return next((p for p in reversed(document["pairs"]) if p["against"] == against), None)


def _weights_at(pair: Mapping[str, Any], place: int) -> list[tuple[Any, Any]]:
    """(site, rank) of the weights; without vectors the rank is empty, with them sites without directions
    are left out.
    """
    sites = [site for site in pair["sites"] if site["measurement"] == WEIGHTS]
    if not pair["readings"]:
        return [(site, {"reading": None}) for site in sites]
    return [(site, site["ranks"][place]) for site in sites if place < len(site["ranks"])]


def _common(found: Iterable[tuple[Any, Any]]) -> str:
    counts: dict[str, int] = {}
    for _, rank in found:
        if rank["reading"] is not None:
            counts[_SHORT[rank["reading"]]] = counts.get(_SHORT[rank["reading"]], 0) + 1
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda c: -c[1]))


Number = Callable[[Mapping[str, Any], Mapping[str, Any]], float | None]


def _cell(
    pair: Mapping[str, Any] | None,
    sites: frozenset[str],
    number: Number,
    shown: Callable[[float | None], str],
) -> str:
    if pair is None:
        return "-"
    return shown(_mean([number(s, rank) for s, rank in _weights_at(pair, 0) if s["site"] in sites]))


def _number_of(found: Sequence[tuple[Any, Any]]) -> str:
    """Matrices with a number, and of how many where that is not all."""
    known = sum(_shift(site, rank) is not None for site, rank in found)
    return str(known) if known == len(found) else f"{known} of {len(found)}"


def _spread(found: Sequence[tuple[Any, Any]], number: Number, shown: Callable[[float | None], str]) -> str:
    values = [value for site, rank in found if (value := number(site, rank)) is not None]
    if not values:
        return "-"
    low, high = np.quantile(values, (0.25, 0.75))
    words = [shown(value) for value in (_mean(values), float(low), float(high))]
    return words[0] if len(set(words)) == 1 else f"{words[0]} [{words[1]}, {words[2]}]"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _of(side: Mapping[str, Any] | None, name: str) -> float | None:
    return None if side is None else side[name]


def _sides(rank: Mapping[str, Any], name: str) -> float | None:
    return _mean(_of(rank.get(side), name) for side in ("left", "right"))


def _shift(site: Mapping[str, Any], _: Mapping[str, Any]) -> float | None:
    shift: float | None = site["spectral_shift"]
    return shift


def _mean_angle(_: Mapping[str, Any], rank: Mapping[str, Any]) -> float | None:
    return _sides(rank, "mean_degrees")


def _lift_of(name: str) -> Number:
    return lambda _, rank: _of(rank.get(name), "value")


def _scientific(value: float | None) -> str:
    """Two digits; as a power of ten below 0.01."""
    if value is None:
        return "-"
    if value >= 10:
        return f"{value:.3g}"
    return "0" if value == 0 else f"{value:#.2g}" if value >= 0.01 else f"{value:.1e}".replace("e-0", "e-")


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.3g}"


def _degrees(value: float | None) -> str:
    """Two or three digits; below 1e-4 degrees an angle is rounding of the archived vectors."""
    if value is None:
        return "-"
    return "<1e-4" if value < 1e-4 else f"{value:#.2g}" if value < 1 else f"{value:.1f}"


def _with_noise(lift: Mapping[str, Any] | None) -> str:
    if lift is None:
        return "-"
    noise = lift["noise"]
    value = _short(lift["value"])
    return value if noise is None else f"{value}±{_short(noise)}"
