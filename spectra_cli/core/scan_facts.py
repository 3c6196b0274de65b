"""What other rooms go by of a scan: facts from the JSON that an archive keeps of its settings and execution.

Archives of every version are read: what one does not state is unknown. The JSON itself, with keys that this
version does not know, stays in `Provenance` for archives and documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spectra_cli.core.measurements import MEASUREMENTS

UNKNOWN = "?"
IN_MEMORY = "memory"
"""Source and format of a probe whose tokens are in no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingFacts:
    """The settings of a scan, named as in `ScanSettings`; counts are 0 where nothing says.

    Attributes:
        preset, layers, normalize, pool, dtype: `?` where nothing says.
        reference: the checkpoint that weights are compared with; None where none was named.
    """

    preset: str
    measurements: tuple[str, ...]
    layers: str
    normalize: str
    pool: str
    dtype: str
    num_sequences: int
    num_gradient_sequences: int
    num_blocks: int
    num_vectors: int
    reference: str | None

    @classmethod
    def of(cls, stated: Mapping[str, Any]) -> SettingFacts:
        """The facts in the settings that an archive states."""
        return cls(
            preset=_text(stated, "preset"),
            measurements=tuple(stated.get("measurements", ())),
            layers=_text(stated, "layers"),
            normalize=_text(stated, "normalize"),
            pool=_text(stated, "pool"),
            dtype=_text(stated, "dtype"),
            num_sequences=_count(stated, "num_sequences"),
            num_gradient_sequences=_count(stated, "num_gradient_sequences"),
            num_blocks=_count(stated, "num_blocks"),
            num_vectors=_count(stated, "num_vectors"),
            reference=stated.get("reference"),
        )

    def samples_of(self, measurement: str) -> int:
        """Sequences of the probe that a measurement is made of; 0 of one that needs no probe."""
        counted_by = MEASUREMENTS[measurement].samples
        return int(getattr(self, counted_by)) if counted_by else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceFacts:
    """The checkpoint that a change of weights was measured from, and the digest of its tensors."""

    checkpoint: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFacts:
    """How one checkpoint was measured.

    Attributes:
        num_layers: of its model; None in archives that do not say.
        reference: that its change was measured from; None without a change.
    """

    num_layers: int | None
    reference: ReferenceFacts | None

    @classmethod
    def of(cls, stated: Mapping[str, Any]) -> ExecutionFacts:
        """The facts in what an archive states of a checkpoint's execution."""
        named = stated.get("reference")
        return cls(
            num_layers=_count(stated, "num_layers") or None,
            reference=ReferenceFacts(checkpoint=named["checkpoint"], digest=named["digest"])
            if named
            else None,
        )


def _text(stated: Mapping[str, Any], name: str) -> str:
    return str(stated.get(name, UNKNOWN))


def _count(stated: Mapping[str, Any], name: str) -> int:
    return int(stated.get(name) or 0)
