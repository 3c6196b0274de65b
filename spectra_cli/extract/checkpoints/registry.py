"""Checkpoint formats by name, in the order in which they are tried."""

from __future__ import annotations

import os
import re
from typing import Final

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.huggingface import HuggingFaceFormat
from spectra_cli.extract.checkpoints.nanogpt import NanoGPTFormat
from spectra_cli.extract.protocols import CheckpointFormat, CheckpointSource

FORMATS: Final[dict[str, CheckpointFormat]] = {
    "huggingface": HuggingFaceFormat(),
    "nanogpt": NanoGPTFormat(),
}

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w.*-]+)?")
_NUM_SHOWN = 12


def find_source(path: str) -> CheckpointSource:
    """The checkpoints at `path`, in whichever format they are. A path that exists is taken whole.

    Raises:
        CheckpointError: nothing is there, no format knows it, or two formats do.
    """
    if not os.path.exists(path):
        hub = " It looks like a name on the Hugging Face hub: download it first, then give its folder."
        raise CheckpointError(
            f"{path}: no such file or folder; expected a local checkpoint, or a folder of them."
            + (hub if _HUB_NAME.fullmatch(path) else "")
        )
    sources = [source for form in FORMATS.values() if (source := form.find(path)) is not None]
    if len(sources) == 1:
        return sources[0]
    if not sources:
        looked_for = "".join(f"\n  {form.name}: {form.summary}" for form in FORMATS.values())
        raise CheckpointError(f"{path}: no checkpoints; found {_content(path)}. Expected one of{looked_for}")
    counts = " and ".join(f"{len(source.refs())} of format {source.format}" for source in sources)
    raise CheckpointError(
        f"{path}: two kinds of checkpoints, {counts}; a series has one. "
        "Give the folder or file of one kind, or move the others out"
    )


def _content(path: str) -> str:
    if os.path.isfile(path):
        return f"a file of {os.path.getsize(path)} bytes"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir(path))
    shown = ", ".join(names[:_NUM_SHOWN]) or "an empty folder"
    return shown + (f" and {len(names) - _NUM_SHOWN} more" if len(names) > _NUM_SHOWN else "")
