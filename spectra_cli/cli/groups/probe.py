"""Which tokens run through every checkpoint, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass

from spectra_cli.cli.groups.group import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(OptionGroup):
    """The probe."""

    panel = "Probe"

    probe: str = option(
        "Tokens for every checkpoint: .bin, .npy, .pt, text; or synthetic.", default="", metavar="FILE"
    )
    tokenizer: str | None = option("For text probes: a tokenizer's folder or file.", metavar="PATH")
    probe_format: str | None = option("Overrules the suffix: text, jsonl, bin-uint16, ...", metavar="NAME")
