"""What the user asks of a scan, and says about the series of checkpoints that it is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spectra_cli.core.paths import AnyPath
from spectra_cli.core.series_selection import SeriesSelection
from spectra_cli.core.settings import ScanSettings


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Where a scan runs, and what it may take; none of it changes the numbers beyond rounding.

    Attributes:
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        memory_bytes: budget on the device; None for 70 % of its memory.
        batch_size: sequences a batch; None for the automatic choice.
    """

    device: str = "auto"
    memory_bytes: int | None = None
    batch_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRequest(Resources):
    """What the user asks of a scan, or of what a scan would do.

    Attributes:
        checkpoints: folder or file that holds the series; series: which of them, and what is known.
        settings: what to measure.
        probe: path of the tokens, or `synthetic`; empty where none is needed or given.
        probe_format, tokenizer: how to read it.
        output: the archive; by default named after the series, in the working directory.
        skip_errors: go on with the next checkpoint after one that cannot be measured.
        resume: keep what an earlier scan of the same archive finished; overwrite: throw it away.
    """

    checkpoints: AnyPath
    settings: ScanSettings
    series: SeriesOptions = field(default_factory=SeriesOptions)
    probe: AnyPath = ""
    probe_format: str | None = None
    tokenizer: AnyPath | None = None
    output: AnyPath | None = None
    skip_errors: bool = False
    resume: bool = True
    overwrite: bool = False
