"""What a scan measures: its preset, its run file, and the settings that have an option of their own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from spectra_cli.cli.groups.completion import one_of, some_of
from spectra_cli.cli.groups.group import OptionGroup, option
from spectra_cli.core.bounded_text import read_bounded
from spectra_cli.core.errors import UsageError
from spectra_cli.core.measurements import SCANNED
from spectra_cli.core.settings import CHOICES, PRESETS, ScanSettings, resolve_settings
from spectra_cli.core.words.suggestions import did_you_mean

_MOST_BYTES = 1 << 20


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
        preset, values = "default", dict[str, Any]()
        for where, more in ((f"--config {self.config}", self._from_file()), ("--set", dict(said))):
            preset, values = more.pop("preset", preset), values | more
            try:
                resolve_settings(preset, values)
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from error
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        del given["preset"], given["config"]
        if self.measurements is not None:
            given["measurements"] = _measurements(self.measurements)
        asked = {name: value for name, value in given.items() if value is not None}
        return resolve_settings(self.preset or preset, values | asked)

    def _from_file(self) -> dict[str, Any]:
        path = self.config
        if path is None:
            return {}
        try:
            document = tomllib.loads(read_bounded(path, _MOST_BYTES, UsageError, where="--config ").decode())
        except OSError as error:
            raise UsageError(f"--config {path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise UsageError(f"--config {path} is not TOML: {error}") from error
        settings = document.pop("scan", {})
        if document or not isinstance(settings, dict):
            found = ", ".join(document) or "a value"
            meant = did_you_mean(next(iter(document), ""), ["scan"])
            raise UsageError(f"--config {path}: expected one table [scan]; found {found}{meant}")
        return settings


def _measurements(words: str) -> tuple[str, ...]:
    asked = [word.strip() for word in words.split(",")]
    unknown = [word for word in asked if word not in SCANNED and word not in SCANNED.values()]
    if unknown:
        raise UsageError(f"--measure {words}: {', '.join(unknown)} is not one of {', '.join(SCANNED)}")
    return tuple(name for word, name in SCANNED.items() if word in asked or name in asked)
