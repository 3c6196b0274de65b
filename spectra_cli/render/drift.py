"""The drift of an archive: its JSON document, from which the tables are made, and tidy rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from spectra_cli.analysis.drift.change import NO_LIFT
from spectra_cli.core.words.numbers import finite
from spectra_cli.render.fields import Fields, plain
from spectra_cli.render.output import Output
from spectra_cli.render.tables.drift import tables

if TYPE_CHECKING:
    from spectra_cli.analysis.drift.change import Lift
    from spectra_cli.analysis.drift.over_series import DriftReport
    from spectra_cli.analysis.drift.pairs import CheckpointPair, RankDrift, SiteDrift

SCHEMA = "spectra.drift/1"
_SITE = Fields(
    "measurement site=site.address layer=site.layer component=site.component spectral_shift=shift "
    "relative_change=change.relative visible_share=change.visible_share "
    "visible_share_float32=change.visible_share_float32"
)
_SIDE = Fields("overlap turned chance mean_degrees max_degrees")
_SIDES = ("left", "right")
_LIFTS = ("rotation_lift", "energy_lift")
_MASKS = ("mask_lift_principal", "mask_lift_small", "mask_lift_principal_not_small")


def output(found: DriftReport) -> Output:
    """The drift of an archive, for every form."""
    return Output(
        tables=lambda: tables(document(found)),
        document=lambda: document(found),
        columns=COLUMNS,
        rows=lambda: tidy_rows(document(found)),
        notices=found.notices,
    )


def document(report: DriftReport) -> dict[str, Any]:
    """The JSON document of `spectra drift`: schema `spectra.drift/1`."""
    return {
        "schema": SCHEMA,
        "archive": str(report.path),
        "checkpoints": [ref.key for ref in report.refs],
        "num_vectors": report.num_vectors,
        "reference": report.provenance.setting_facts.reference,
        **Fields("ranks notices unfinished").of(report),
        "pairs": [_pair(pair, len(report.ranks)) for pair in report.pairs],
        "similarity": {
            "rank": report.similarity_rank,
            "last": report.refs[-1].key,
            "checkpoints": [
                {
                    "checkpoint": ref.key,
                    "sites": [{"site": site, "overlap": finite(value)} for site, value in by_site.items()],
                }
                for ref, by_site in report.similarity.items()
                if by_site
            ],
        },
    }


def _pair(pair: CheckpointPair, num_ranks: int) -> dict[str, Any]:
    return {
        **Fields("against before after").of(pair),
        "readings": plain([pair.reading(place) for place in range(num_ranks)]),
        "missing": [{"site": address, "reason": why} for address, why in pair.missing],
        "sites": [_site(site) for site in pair.sites],
    }


def _site(site: SiteDrift) -> dict[str, Any]:
    masks = {name: getattr(site.change, name.replace("_lift", ""), NO_LIFT) for name in _MASKS}
    lifts = {name: _lift(lift) for name, lift in masks.items()}
    return {**_SITE.of(site), **lifts, "ranks": [_rank(rank) for rank in site.ranks]}


def _rank(rank: RankDrift) -> dict[str, Any]:
    cut = rank.cut
    return {
        **Fields("asked rank gap").of(cut),
        "status": "ok" if cut.well_defined else "partial",
        "reason": cut.reason,
        "left": None if rank.left is None else _SIDE.of(rank.left),
        "right": _SIDE.of(rank.right),
        **Fields("sine_bound sampling_turn energy_share").of(rank),
        "energy_lift": _lift(rank.energy),
        "rotation_lift": _lift(rank.rotation),
        "reading": plain(rank.reading),
    }


def _lift(lift: Lift) -> dict[str, Any] | None:
    return None if plain(lift.value) is None else Fields("value noise").of(lift)


# ----------------------------------------------------------------------------- tidy rows

_OF_RANK = ("asked", "rank", "gap", "status", "reason", "sine_bound", "sampling_turn", "energy_share")
COLUMNS = (
    "against",
    "before",
    "after",
    *_SITE.names,
    *(f"{name}{suffix}" for name in _MASKS for suffix in ("", "_noise")),
    *_OF_RANK,
    *(f"{side}_{name}" for side in _SIDES for name in _SIDE.names),
    *(f"{name}{suffix}" for name in _LIFTS for suffix in ("", "_noise")),
    "reading",
)
"""Columns of the tidy table: one row a pair of checkpoints, site and rank."""


def tidy_rows(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One mapping a pair, site and rank; one without rank where there are no vectors."""
    for pair in document["pairs"]:
        for site in pair["sites"]:
            shared = {name: pair[name] for name in ("against", "before", "after")}
            shared |= {name: site[name] for name in _SITE.names} | _flat_lifts(site, _MASKS)
            ranks: list[dict[str, Any]] = site["ranks"] or [{}]
            for rank in ranks:
                row = shared | {name: rank.get(name) for name in (*_OF_RANK, "reading")}
                for side in _SIDES:
                    of_side = rank.get(side) or {}
                    row |= {f"{side}_{name}": of_side.get(name) for name in _SIDE.names}
                yield row | _flat_lifts(rank, _LIFTS)


def _flat_lifts(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    lifts = {name: values.get(name) or {} for name in names}
    return {name: lift.get("value") for name, lift in lifts.items()} | {
        f"{name}_noise": lift.get("noise") for name, lift in lifts.items()
    }
