"""What the user asks of a scan."""

from __future__ import annotations

from dataclasses import dataclass, field

from spectra_cli.core.paths import AnyPath
from spectra_cli.core.series_options import SeriesOptions
from spectra_cli.core.settings import ScanSettings


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
