"""Statistics as a tracker of experiments has them: at each step a value a tag."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from spectra_cli.render.exports.columns import OF_TRAINING
from spectra_cli.render.exports.target import FlatTable

_OF_TRAINING = ("tokens_seen", *(column.name for column in OF_TRAINING))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedStep:
    """Everything that is logged of one checkpoint.

    Attributes:
        archive: name of its archive; `checkpoint`: its own; `step`: optimiser steps taken.
        values: tag -> value; None where it is withheld. Tags are MEASUREMENT/STATISTIC/SITE, the same
            behind `stderr/` for standard errors, and training/NAME.
        withheld: tag -> status and reason; of a site that was not measured, the tag names no statistic.
    """

    archive: str
    checkpoint: str
    step: int
    values: dict[str, float | None] = field(default_factory=dict)
    withheld: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracker:
    """A program that follows experiments, and how it is fed.

    Attributes:
        title: its name in a sentence.
        write: steps to a stream of bytes.
        place: of the file for a run of this name, in the folder that the user gives; None where one file is
            for all runs.
        needs: module of a package that may not be installed, and the extra that brings it.
    """

    title: str
    write: Callable[[Iterable[LoggedStep], BinaryIO], None]
    place: Callable[[Path, str], Path] | None = None
    needs: tuple[str, str] | None = None


def logged_steps(table: FlatTable, left_out: list[str]) -> Iterator[LoggedStep]:
    """The checkpoints of a table of statistics, a part of which is a checkpoint each.

    Args:
        table: of statistics.
        left_out: is told of each checkpoint whose step is not known.
    """
    for part in table.parts:
        archive, checkpoint, step = (part[name][0] for name in ("archive", "checkpoint", "step"))
        if step is None:
            left_out.append(
                f"left out: {checkpoint} of {archive}: nothing says its step, by which trackers go"
            )
            continue
        logged = LoggedStep(archive=archive, checkpoint=checkpoint, step=step)
        for cells in zip(*(part[name] for name in table.names), strict=True):
            _add(logged, dict(zip(table.names, cells, strict=True)))
        training = {name: part[name][0] for name in _OF_TRAINING}
        logged.values.update({f"training/{n}": value for n, value in training.items() if value is not None})
        yield logged


def _add(logged: LoggedStep, row: dict[str, Any]) -> None:
    """Add what a row says."""
    tag = "/".join(row[name] for name in ("measurement", "statistic", "site") if row[name])
    if row["statistic"]:
        logged.values[tag] = row["value"]
    if row["stderr"] is not None:
        logged.values[f"stderr/{tag}"] = row["stderr"]
    if row["value"] is None:
        logged.withheld[tag] = f"{row['status']}: {row['reason']}"
