"""Which tokens the paper's spectrum scripts read, script by script: what the preset `paper-compat` follows.

Transcribed from reading the scripts' public code; each cuts one shard from its first token on, in order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from spectra_cli.core.settings import ByDefault, ScanSettings, WordByDefault
from spectra_cli.extract.protocols import Model

PRESET = "paper-compat"
_D12_LAYERS = (0, 3, 6, 9, 11)
_D12 = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What the script of one variant reads.

    Attributes:
        length: T; 0 for as many tokens as the model has positions.
        targets: `next_token`, T targets from T + 1 ids, which is also the stride; or `ignore_last`, T ids a
            sequence and a stride of T.
        wraps: the last position's target is the sequence's first token; here that position has none.
        num_sequences, num_gradient_sequences: of the two probes.
    """

    length: int = 65_536
    targets: str = "next_token"
    wraps: bool = False
    num_sequences: int = 512
    num_gradient_sequences: int = 512


_STREAMS = Script()
_BATCHES = Script(length=1024, num_sequences=32_768)
_WRAPPED = Script(targets="ignore_last", wraps=True)

# variant -> script; of the scale models where they differ
_SCRIPTS: Mapping[str, Script] = {
    "3": Script(length=0, targets="ignore_last", num_sequences=32_768),
    **dict.fromkeys(("4", "4s", "5", "6", "7", "8"), _BATCHES),
    **dict.fromkeys(("9", "10", "11", "12", "13", "14", "15", "16adj", "17"), _STREAMS),
    **dict.fromkeys(("16", "19"), _WRAPPED),
    "18": replace(_STREAMS, num_sequences=500, num_gradient_sequences=100),
}
_SCALE_SCRIPTS: Mapping[str, Script] = {
    "16": replace(_WRAPPED, num_sequences=2000, num_gradient_sequences=100)
}


def script_of(model: Model) -> tuple[str, Script] | None:
    """The variant and its script; None for a model that no script of the paper reads."""
    named = re.match(r"variant (\w+) ", model.architecture)
    if named is None or named[1] not in _SCRIPTS:
        return None
    scripts = _SCRIPTS if len(model.blocks) == _D12 else {**_SCRIPTS, **_SCALE_SCRIPTS}
    return named[1], scripts[named[1]]


def as_in_the_paper(settings: ScanSettings, model: Model) -> tuple[ScanSettings, tuple[str, ...]]:
    """The settings with what the script of this model reads in place of the preset's defaults, and notices.

    What the user asked for stays as it is, and so do all settings of other presets.
    """
    if settings.preset != PRESET:
        return settings, ()
    changes, notices = _layers(settings, model)
    found = script_of(model)
    if found is None:
        return replace(settings, **changes), notices
    variant, script = found
    wanted: dict[str, Any] = {
        "sequence_length": ByDefault(script.length or model.max_length or settings.sequence_length),
        "num_sequences": ByDefault(script.num_sequences),
        "num_gradient_sequences": ByDefault(script.num_gradient_sequences),
        "targets": WordByDefault(script.targets),
    }
    changes |= {
        n: v for n, v in wanted.items() if isinstance(getattr(settings, n), (ByDefault, WordByDefault))
    }
    settings = replace(settings, **changes)
    whose = f"the script of variant {variant}"
    if script.wraps and "targets" in changes:
        wrapped = "takes a sequence's first token as its last target"
        notices += (f"{whose} {wrapped}; here the last position has no target",)
    length, reads = settings.sequence_length, settings.sequence_length + (settings.targets == "next_token")
    tokens = f"sequences of {length}, one every {reads} ids, targets {settings.targets}"
    notices += (f"tokens as {whose} reads them: {tokens}",)
    return settings, notices


def _layers(settings: ScanSettings, model: Model) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Other layers than 0, 3, 6, 9 and 11 where the model is not twelve deep and nobody asked for these."""
    depth = len(model.blocks)
    if not isinstance(settings.layers, WordByDefault) or depth == _D12:
        return {}, ()
    if depth > _D12:
        if script_of(model) is None:
            return {}, ()
        return {"layers": WordByDefault("five")}, (
            f"five layers of {depth}, as the scripts of the scale models take them",
        )
    existing = ",".join(str(layer) for layer in _D12_LAYERS if layer < depth)
    return {"layers": WordByDefault(existing)}, (
        f"layers {existing}: of the paper's 0, 3, 6, 9 and 11 those that a model of {depth} layers has",
    )
