"""What a scan measures, on which tokens, and what it may use.

Preset and run file, options of single settings, the probe; device, memory and batch size, which change the
numbers by rounding only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from spectra_cli.api.asked.settings import measurements_asked, settings_asked
from spectra_cli.cli.groups.group import OptionGroup, one_of, option, some_of
from spectra_cli.core.measurements import SCANNED
from spectra_cli.core.settings import CHOICES, PRESETS, ScanSettings
from spectra_cli.core.words.numbers import memory_bytes


@dataclass(frozen=True, kw_only=True)
class SettingsOptions(OptionGroup):
    """Settings of a scan: a field is called as its setting is in run files, in Python and in archives."""

    panel = "What is measured"

    preset: str | None = option(
        "Named settings: default, quick, or paper-compat.", metavar="NAME", offers=one_of(PRESETS)
    )
    config: Path | None = option("A TOML run file with any of the settings; options win.", metavar="FILE")
    measurements: str | None = option(
        "Which spectra: activations, gradients, weights (all three by default), updates.",
        "--measure",
        metavar="LIST",
        offers=some_of(SCANNED),
    )
    layers: str | None = option(
        "all, five, paper-d12, or a list such as 0,3,6-9.",
        metavar="LIST",
        offers=one_of(("all", "five", "paper-d12")),
    )
    matrices: str | None = option(
        "all, or components such as attn.o,mlp.down,lm_head or 'experts.*.down'.",
        metavar="LIST",
        offers=some_of(("all", *PRESETS["default"].matrices)),
    )
    normalize: str | None = option(
        "Rows before the covariance: rms, none, or final.",
        metavar="HOW",
        offers=one_of(CHOICES["normalize"]),
    )
    num_sequences: int | None = option("Sequences of the covariance probe.", "--sequences", metavar="N")
    num_gradient_sequences: int | None = option(
        "Sequences of the gradient probe.", "--gradient-sequences", metavar="N"
    )
    sequence_length: int | None = option("Tokens a sequence.", "--sequence-length", "-T", metavar="T")
    targets: str | None = option(
        "next_token: T targets from T + 1 ids; ignore_last: T ids, the last without a target.",
        metavar="HOW",
        offers=one_of(CHOICES["targets"]),
    )
    dtype: str | None = option(
        "Of the passes: float32, bfloat16 (autocast) or float64.",
        metavar="DTYPE",
        offers=one_of(CHOICES["dtype"]),
    )
    seed: int | None = option("Of the choice of sequences.", metavar="N")
    num_vectors: int | None = option(
        "Keep K leading vectors a spectrum, for spectra drift.", "--vectors", metavar="K"
    )

    def resolve(self, said: Mapping[str, Any]) -> ScanSettings:
        """The preset, then the run file, then what `--set` said, then the options: later ones win.

        Raises:
            UsageError: an unknown preset, setting or value; a run file that cannot be read.
        """
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        del given["preset"], given["config"]
        if self.measurements is not None:
            given["measurements"] = measurements_asked(self.measurements)
        return settings_asked(preset=self.preset, config=self.config, said=said, given=given)


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(OptionGroup):
    """Which tokens run through every checkpoint, and how they are read."""

    panel = "Probe"

    probe: str = option(
        "Tokens for every checkpoint: .bin, .npy, .pt, text; or synthetic.", default="", metavar="FILE"
    )
    tokenizer: str | None = option("For text probes: a tokenizer's folder or file.", metavar="PATH")
    probe_format: str | None = option("Overrules the suffix: text, jsonl, bin-uint16, ...", metavar="NAME")


@dataclass(frozen=True, kw_only=True)
class ResourceOptions(OptionGroup):
    """Where a scan runs, and what it may take there."""

    panel = "Resources"

    device: str = option(
        "auto, cpu, cuda or cuda:N.",
        default="auto",
        metavar="DEVICE",
        offers=one_of(("auto", "cpu", "cuda")),
    )
    memory: str | None = option("Budget such as 8GiB; 70 % of the device's by default.", metavar="SIZE")
    batch_size: int | None = option(
        "Sequences a batch; by itself if unset.", "--batch-size", "-b", least=1, metavar="N"
    )

    def resolve(self) -> dict[str, Any]:
        """The values of `Resources`, by name."""
        budget = None if self.memory is None else memory_bytes(self.memory)
        return {"device": self.device, "memory_bytes": budget, "batch_size": self.batch_size}
