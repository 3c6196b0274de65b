"""What only the weights themselves tell of a checkpoint, before a scan: read as far as that takes seconds.

Headers do not say that weights are all zero or not finite, or that a record's checksum is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from spectra_cli.core.errors import SpectraError
from spectra_cli.core.types import CheckpointRef
from spectra_cli.core.words.numbers import size
from spectra_cli.extract.checkpoints.files.unchanged import one_reading
from spectra_cli.extract.checkpoints.tensors.stored_values import non_finite, require_some_values
from spectra_cli.extract.memory import room_for
from spectra_cli.extract.series.opened import Series
from spectra_cli.extract.series.outline import CheckpointOutline

MOST_BYTES = 2 * 2**30
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The checkpoints of a series after a look at their weights.

    Attributes:
        checkpoints: as they were, with the problem of those that a scan would refuse.
        notices: of values that are not finite, and of weights that were not read.
    """

    checkpoints: tuple[CheckpointOutline, ...]
    notices: tuple[str, ...] = ()


def weighed(series: Series, outlined: Sequence[CheckpointOutline], most_bytes: int) -> Weighed:
    """Read the weights of checkpoints in order, as a scan would, as long as all are at most `most_bytes`.

    Those that have a problem already are left as they are: a scan would not read them either.
    """
    found, notices, unread, left = list[CheckpointOutline](), list[str](), 0, most_bytes
    for one in outlined:
        if one.problem:
            found.append(one)
            continue
        left -= one.loaded_bytes
        damage, problem = "", ""
        if left < 0:
            unread += 1
        else:
            try:
                damage = _look_into(series, one.ref)
            except SpectraError as error:
                problem = str(error)
        found.append(CheckpointOutline(ref=one.ref, problem=problem) if problem else one)
        if damage:
            notices.append(f"{one.ref.key}: non-finite weights: {damage}")
    if unread:
        notices.append(_not_read(unread, sum(not one.problem for one in outlined), most_bytes))
    return Weighed(checkpoints=tuple(found), notices=tuple(notices))


def _look_into(series: Series, ref: CheckpointRef) -> str:
    """Which weights are not finite, as words.

    Raises:
        CheckpointError, ModelError: as a scan would.
    """
    with one_reading():
        header = series.source.header(ref)
        with room_for(header, _CPU):
            state = series.source.open(ref)
            require_some_values(state, where=ref.uri)
            return non_finite(state)


def _not_read(unread: int, number: int, most_bytes: int) -> str:
    which = f"{unread} of {number} checkpoints" if number > 1 else "the checkpoint"
    return (
        f"the weights of {which} were not read, since only {size(most_bytes)} are before a scan: whether "
        "they are all zero, not finite, or damaged behind their headers is found by the scan alone"
    )
