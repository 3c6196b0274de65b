"""Which tokens run through every checkpoint, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from spectra_cli.cli.groups.group import OptionGroup


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(OptionGroup):
    """The probe."""

    panel = "Probe"

    probe: Annotated[
        str,
        typer.Option(
            help="Tokens for every checkpoint: .bin, .npy, .pt, text; or synthetic.", metavar="FILE"
        ),
    ] = ""
    tokenizer: Annotated[
        str | None, typer.Option(help="For text probes: a tokenizer's folder or file.", metavar="PATH")
    ] = None
    probe_format: Annotated[
        str | None,
        typer.Option(help="Overrules the suffix: text, jsonl, bin-uint16, ...", metavar="NAME"),
    ] = None
