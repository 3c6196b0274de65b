"""What the user says about a series of checkpoints: which ones, how to read them, what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spectra_cli.core.paths import AnyPath
from spectra_cli.core.series_selection import SeriesSelection


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesOptions:
    """How to open a series.

    Attributes:
        selection: which checkpoints.
        log: a training log, `FILE` or `FILE:step=COLUMN,loss=COLUMN,...`; empty for none.
        model: facts about the architecture, put over those of the files (`--set model.KEY=VALUE`).
        base: of adapters: the model that they change; empty for the one they name.
        builder: `package.module:callable` that builds the model; empty for a known family.
        trust_remote_code: run the model code that a checkpoint brings or names.
        reference: the one checkpoint whose weights all others are compared with where vectors are kept;
            empty for the first one of the series, chosen or not.
    """

    selection: SeriesSelection = field(default_factory=SeriesSelection)
    log: AnyPath = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    base: AnyPath = ""
    builder: str = ""
    trust_remote_code: bool = False
    reference: AnyPath = ""
