"""What an archive says of its probe and its scan, where a test does not ask for anything in particular."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_cli.core.types import ProbeInfo, Provenance

# The settings that comparisons look at.
SETTINGS: Mapping[str, Any] = {
    "preset": "default",
    "normalize": "rms",
    "pool": "token",
    "dtype": "float32",
    "num_blocks": 16,
    "num_sequences": 64,
    "num_gradient_sequences": 64,
}


def probe(**changes: Any) -> ProbeInfo:
    """A probe from a file of tokens."""
    fields: dict[str, Any] = {
        "digest": "d" * 64,
        "source": "/data/val.bin",
        "format": "bin",
        "num_sequences": 64,
        "sequence_length": 32,
        "targets": "next_token",
        "seed": 0,
        "starts": (),
        "vocab_size": 50,
    }
    return ProbeInfo(**(fields | changes))


def provenance(
    *,
    settings: Mapping[str, Any] | None = None,
    execution: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    **of_probe: Any,
) -> Provenance:
    """Of a scan with `settings` over the default ones; the rest are fields of its probe."""
    return Provenance(
        settings={**SETTINGS, **(settings or {})},
        probe=probe(**of_probe),
        versions=versions or {"numerics": "1"},
        execution=execution or {},
    )
