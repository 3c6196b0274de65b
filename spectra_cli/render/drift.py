"""The drift of an archive: its JSON document, from which the tables are made, and tidy rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from spectra_cli.core.words.numbers import finite
from spectra_cli.render.output import Output
from spectra_cli.render.tables.drift import tables

if TYPE_CHECKING:
    from spectra_cli.analysis.drift.change import Lift
    from spectra_cli.analysis.drift.over_series import DriftReport
    from spectra_cli.analysis.drift.pairs import CheckpointPair, RankDrift, SiteDrift
    from spectra_cli.analysis.subspaces import Rotation

SCHEMA = "spectra.drift/1"
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
        "ranks": list(report.ranks),
        "notices": list(report.notices),
        "unfinished": report.unfinished and report.unfinished.document(),
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
    readings = [pair.reading(place) for place in range(num_ranks)]
    return {
        "against": pair.against,
        "before": pair.before,
        "after": pair.after,
        "readings": [None if reading is None else reading.value for reading in readings],
        "missing": [{"site": address, "reason": why} for address, why in pair.missing],
        "sites": [_site(site) for site in pair.sites],
    }


def _site(site: SiteDrift) -> dict[str, Any]:
    change = site.change
    return {
        "measurement": site.measurement,
        "site": site.site.address,
        "layer": site.site.layer,
        "component": site.site.component,
        "spectral_shift": finite(site.shift),
        "relative_change": None if change is None else finite(change.relative),
        "visible_share": None if change is None else finite(change.visible_share),
        "visible_share_float32": None if change is None else finite(change.visible_share_float32),
        "mask_lift_principal": None if change is None else _lift(change.mask_principal),
        "mask_lift_small": None if change is None else _lift(change.mask_small),
        "mask_lift_principal_not_small": None if change is None else _lift(change.mask_principal_not_small),
        "ranks": [_rank(rank) for rank in site.ranks],
    }


def _rank(rank: RankDrift) -> dict[str, Any]:
    return {
        "asked": rank.cut.asked,
        "rank": rank.cut.rank,
        "gap": finite(rank.cut.gap),
        "status": "ok" if rank.cut.well_defined else "partial",
        "reason": rank.cut.reason,
        "left": None if rank.left is None else _rotation(rank.left),
        "right": _rotation(rank.right),
        "sine_bound": finite(rank.sine_bound),
        "sampling_turn": finite(rank.sampling_turn),
        "energy_share": finite(rank.energy_share),
        "energy_lift": _lift(rank.energy),
        "rotation_lift": _lift(rank.rotation),
        "reading": None if rank.reading is None else rank.reading.value,
    }


def _rotation(side: Rotation) -> dict[str, Any]:
    return {
        "overlap": side.overlap,
        "turned": side.turned,
        "chance": side.chance,
        "mean_degrees": side.mean_degrees,
        "max_degrees": side.max_degrees,
    }


def _lift(lift: Lift) -> dict[str, Any] | None:
    return None if finite(lift.value) is None else {"value": lift.value, "noise": finite(lift.noise)}


# ----------------------------------------------------------------------------- tidy rows

_OF_SITE = (
    "measurement",
    "site",
    "layer",
    "component",
    "spectral_shift",
    "relative_change",
    "visible_share",
    "visible_share_float32",
)
_OF_RANK = ("asked", "rank", "gap", "status", "reason", "sine_bound", "sampling_turn", "energy_share")
_OF_SIDE = ("overlap", "turned", "chance", "mean_degrees", "max_degrees")
COLUMNS = (
    "against",
    "before",
    "after",
    *_OF_SITE,
    *(f"{name}{suffix}" for name in _MASKS for suffix in ("", "_noise")),
    *_OF_RANK,
    *(f"{side}_{name}" for side in _SIDES for name in _OF_SIDE),
    *(f"{name}{suffix}" for name in _LIFTS for suffix in ("", "_noise")),
    "reading",
)
"""Columns of the tidy table: one row a pair of checkpoints, site and rank."""


def tidy_rows(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One mapping a pair, site and rank; one without rank where there are no vectors."""
    for pair in document["pairs"]:
        for site in pair["sites"]:
            shared = {name: pair[name] for name in ("against", "before", "after")}
            shared |= {name: site[name] for name in _OF_SITE} | _flat_lifts(site, _MASKS)
            ranks: list[dict[str, Any]] = site["ranks"] or [{}]
            for rank in ranks:
                row = shared | {name: rank.get(name) for name in (*_OF_RANK, "reading")}
                for side in _SIDES:
                    of_side = rank.get(side) or {}
                    row |= {f"{side}_{name}": of_side.get(name) for name in _OF_SIDE}
                yield row | _flat_lifts(rank, _LIFTS)


def _flat_lifts(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    lifts = {name: values.get(name) or {} for name in names}
    return {name: lift.get("value") for name, lift in lifts.items()} | {
        f"{name}_noise": lift.get("noise") for name, lift in lifts.items()
    }
