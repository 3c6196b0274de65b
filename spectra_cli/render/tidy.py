"""Tidy rows of statistics, one a value, and what each of their columns means: the one table of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spectra_cli.render.output import Fields, plain

if TYPE_CHECKING:
    from spectra_cli.core.types import Site
    from spectra_cli.workflows.show import CheckpointSummary

Kind = type[str] | type[int] | type[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TidyColumn:
    """A column of a flat table.

    Attributes:
        name: at its head.
        kind: of its cells; a number may be missing.
        meaning: in a few words.
        unit: of its numbers; empty for pure ones and for text.
        at: where a result holds it, as in `Fields`; empty where that is its name.
    """

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    at: str = ""


def fields_of(columns: Sequence[TidyColumn]) -> Fields:
    """The cells of a result under these columns."""
    return Fields(" ".join(f"{each.name}={each.at}" for each in columns))


def _column(name: str, kind: Kind, meaning: str, unit: str = "", at: str = "") -> TidyColumn:
    return TidyColumn(name=name, kind=kind, meaning=meaning, unit=unit, at=at)


OF_CHECKPOINT = (
    _column("run", str, "folder that was scanned, by its last name", at="ref.run"),
    _column("checkpoint", str, "the checkpoint inside its run: `step100`", at="ref.key"),
    _column("step", int, "optimiser steps taken; missing where nothing says it", "steps", at="ref.step"),
    _column(
        "tokens_seen",
        int,
        "training tokens up to this step; missing where nothing says it",
        "tokens",
        at="info.tokens_seen",
    ),
)
OF_PLACE = (
    _column("measurement", str, "group of the archive: `activation_covariance`, `weight`, `probe`"),
    _column("site", str, "canonical address: `blocks.7.attn.q`; empty for numbers of the whole model"),
    _column("layer", int, "number of the block, from 0; missing outside the blocks"),
    _column("component", str, "the address inside its block: `attn.q`"),
)
_OF_VALUE = (
    _column("statistic", str, "name, with its definition: see the reference of statistics", at="name"),
    _column("value", float, "missing where it is withheld: `status` and `reason` say why"),
    _column("stderr", float, "standard error, a jackknife over blocks of the probe; missing without blocks"),
    _column("unit", str, "of value and stderr; empty for pure numbers"),
    _column(
        "status",
        str,
        "`ok`, `partial`, `below_floor` with a value; `unresolved`, `zero`, `nonfinite`, `not_applicable` "
        "without",
    ),
    _column("reason", str, "a sentence beside every status but `ok`"),
)
_OF_DETAILS = (
    _column("window_lo", float, "first rank of the window that an exponent was fitted in"),
    _column("window_hi", float, "last rank of it"),
    _column("r_squared", float, "of the fit"),
)
OF_STATISTIC = (*_OF_VALUE, *_OF_DETAILS)
STATISTICS = (*OF_CHECKPOINT, *OF_PLACE, *OF_STATISTIC)
COLUMNS = tuple(column.name for column in STATISTICS)
"""Names of the columns of the tidy table."""
_CHECKPOINT, _VALUE = fields_of(OF_CHECKPOINT), fields_of(_OF_VALUE)


def tidy_rows(checkpoint: CheckpointSummary) -> Iterator[dict[str, Any]]:
    """One mapping a statistic, keyed by `COLUMNS`, plus all `details`; a missing number is None."""
    shared = _CHECKPOINT.of(checkpoint)
    for value in checkpoint.statistics:
        details = plain(value.details)
        yield {
            **shared,
            **of_place(value.measurement, value.site),
            **_VALUE.of(value),
            **{column.name: details.get(column.name) for column in _OF_DETAILS},
            "details": details,
        }


def of_place(measurement: str, site: Site | None) -> dict[str, Any]:
    """The cells under `OF_PLACE`."""
    return {
        "measurement": measurement,
        "site": "" if site is None else site.address,
        "layer": None if site is None else site.layer,
        "component": "" if site is None else site.component,
    }
