"""The drift of an archive: its JSON document, and tidy rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spectra_cli.analysis.drift.change import NO_LIFT
from spectra_cli.core.words.numbers import finite
from spectra_cli.render.output import Fields, Output, plain
from spectra_cli.render.tables.drift import tables

if TYPE_CHECKING:
    from spectra_cli.analysis.drift.change import Lift
    from spectra_cli.analysis.drift.over_series import DriftReport
    from spectra_cli.analysis.drift.pairs import CheckpointPair, RankDrift, SiteDrift

SCHEMA = "spectra.drift/1"
_PAIR = Fields("against before after")
_SITE = Fields(
    "measurement site=site.address layer=site.layer component=site.component spectral_shift=shift "
    "relative_change=change.relative visible_share=change.visible_share "
    "visible_share_float32=change.visible_share_float32"
)
_SIDE = Fields("overlap turned chance mean_degrees max_degrees")
_MASKS = ("mask_lift_principal", "mask_lift_small", "mask_lift_principal_not_small")


def output(found: DriftReport) -> Output:
    """The drift of an archive, for every form."""
    return Output.of(found, tables, document, COLUMNS, tidy_rows, found.notices)


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
        **_PAIR.of(pair),
        "readings": plain([pair.reading(place) for place in range(num_ranks)]),
        "missing": [{"site": address, "reason": why} for address, why in pair.missing],
        "sites": [_site(site) for site in pair.sites],
    }


def _site(site: SiteDrift) -> dict[str, Any]:
    masks = {name: getattr(site.change, name.replace("_lift", ""), NO_LIFT) for name in _MASKS}
    lifts = {name: _lift(lift) for name, lift in masks.items()}
    return {**_SITE.of(site), **lifts, "ranks": [_rank(rank) for rank in site.ranks]}


def _rank(rank: RankDrift) -> dict[str, Any]:
    return {
        **Fields("asked rank gap status reason").of(rank.cut),
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

_MASKS_OF_ROW = Fields(
    "mask_lift_principal=change.mask_principal.value mask_lift_principal_noise=change.mask_principal.noise "
    "mask_lift_small=change.mask_small.value mask_lift_small_noise=change.mask_small.noise "
    "mask_lift_principal_not_small=change.mask_principal_not_small.value "
    "mask_lift_principal_not_small_noise=change.mask_principal_not_small.noise"
)
_RANK_OF_ROW = Fields(
    "asked=cut.asked rank=cut.rank gap=cut.gap status=cut.status reason=cut.reason sine_bound sampling_turn "
    "energy_share left_overlap=left.overlap left_turned=left.turned left_chance=left.chance "
    "left_mean_degrees=left.mean_degrees left_max_degrees=left.max_degrees right_overlap=right.overlap "
    "right_turned=right.turned right_chance=right.chance right_mean_degrees=right.mean_degrees "
    "right_max_degrees=right.max_degrees rotation_lift=rotation.value rotation_lift_noise=rotation.noise "
    "energy_lift=energy.value energy_lift_noise=energy.noise reading"
)
COLUMNS = (*_PAIR.names, *_SITE.names, *_MASKS_OF_ROW.names, *_RANK_OF_ROW.names)
"""Columns of the tidy table: one row a pair of checkpoints, site and rank."""


def tidy_rows(report: DriftReport) -> Iterator[dict[str, Any]]:
    """One mapping a pair, site and rank; one without rank where there are no vectors."""
    for pair in report.pairs:
        for site in pair.sites:
            shared = _PAIR.of(pair) | _SITE.of(site) | _MASKS_OF_ROW.of(site)
            for rank in site.ranks or (None,):
                yield shared | _RANK_OF_ROW.of(rank)
