"""Checkpoint formats by name, in the order in which they are tried."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from spectra_cli.core.errors import CheckpointError, NoCheckpointError, UsageError
from spectra_cli.core.words.names import listed
from spectra_cli.extract.checkpoints.adapter.source import AdapterFormat, AdapterSource
from spectra_cli.extract.checkpoints.deepspeed import DeepSpeedFormat
from spectra_cli.extract.checkpoints.distributed.source import DistributedFormat
from spectra_cli.extract.checkpoints.gguf.source import GgufFormat
from spectra_cli.extract.checkpoints.hub.source import HubFormat, HubSource
from spectra_cli.extract.checkpoints.huggingface.source import HuggingFaceFormat
from spectra_cli.extract.checkpoints.llm_c import LlmcFormat
from spectra_cli.extract.checkpoints.nanochat import NanochatFormat
from spectra_cli.extract.checkpoints.nanogpt.source import NanoGPTFormat
from spectra_cli.extract.checkpoints.series.incomplete import why_none
from spectra_cli.extract.protocols import CheckpointFormat, CheckpointSource

FORMATS: Final[dict[str, CheckpointFormat]] = {
    "huggingface": HuggingFaceFormat(),
    "nanogpt": NanoGPTFormat(),
    "nanochat": NanochatFormat(),
    "adapter": AdapterFormat(),
    "hub": HubFormat(),
    "distributed": DistributedFormat(),
    "deepspeed": DeepSpeedFormat(),
    "gguf": GgufFormat(),
    "llmc": LlmcFormat(),
}

_NUM_SHOWN = 12


def find_source(path: str, *, base: str = "", needs_base: bool = True) -> CheckpointSource:
    """The checkpoints at `path`, in whichever format they are. A path that exists is taken whole, and
    never for a name on the Hugging Face hub.

    Args:
        path: of the checkpoints.
        base: path or name of the model under adapters; empty for the one that they name.
        needs_base: whether a base for whole models is a mistake.

    Raises:
        CheckpointError: nothing is there, no format knows it, or two formats do.
        UsageError: a base for checkpoints that are no adapters.
    """
    source = _only_source(path, FORMATS)
    if isinstance(source, AdapterSource) or (isinstance(source, HubSource) and source.holds_adapters):
        # a name that stands in an adapter's file makes no request
        of_bases = FORMATS | {HubFormat.name: HubFormat(asks_network=bool(base))}
        del of_bases[AdapterFormat.name]
        return source.over(base, find=lambda name: _only_source(name, of_bases))
    if base and needs_base:
        raise UsageError(
            f"--base {base}: {path} holds {source.format} checkpoints, no adapters; leave it out"
        )
    return source


def _only_source(path: str, formats: Mapping[str, CheckpointFormat]) -> CheckpointSource:
    try:
        sources = [source for form in formats.values() if (source := form.find(path)) is not None]
        content = _content(path) if not sources and os.path.exists(path) else ""
        elsewhere = _elsewhere(path, formats) if content else ""
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.filename} cannot be read: {error.strerror}; make it readable, or give the path "
            "of the checkpoints themselves"
        ) from error
    if len(sources) == 1:
        return sources[0]
    if not sources and not os.path.exists(path):
        raise NoCheckpointError(
            f"{path}: no such file or folder; expected a local checkpoint, a folder of them, or a name on "
            "the Hugging Face hub (org/name, org/name@revision)"
        )
    if elsewhere:
        raise NoCheckpointError(f"{path}: no checkpoints; found {content}. {elsewhere}")
    if not sources and (reason := why_none(path)):
        raise CheckpointError(reason)
    if not sources:
        looked_for = "".join(f"\n  {form.name}: {form.summary}" for form in formats.values())
        raise NoCheckpointError(f"{path}: no checkpoints; found {content}. Expected one of{looked_for}")
    counts = " and ".join(
        f"{len(source.refs())} of format {source.format} ({os.path.relpath(source.refs()[0].uri, path)}"
        f"{', ...' * (len(source.refs()) > 1)})"
        for source in sources
    )
    raise CheckpointError(
        f"{path}: two kinds of checkpoints, {counts}; a series has one. "
        "Give the folder or file of one kind, or move the others out"
    )


def _elsewhere(path: str, formats: Mapping[str, CheckpointFormat]) -> str:
    """Which folders near `path` do hold checkpoints, in a sentence; empty where none does."""

    def holds(place: str) -> bool:
        return any(form.find(place) is not None for form in formats.values())

    if os.path.isfile(path):
        folder = os.path.dirname(path) or "."
        return f"It is a part of the checkpoint in {folder}: give the folder" if holds(folder) else ""
    below = [str(entry) for entry in Path(path).iterdir() if entry.is_dir()]
    runs = [place for place in sorted(below)[:_NUM_SHOWN] if holds(place)]
    return f"Its folders hold runs of their own: give one of {', '.join(runs)}" if runs else ""


def _content(path: str) -> str:
    if os.path.isfile(path):
        return f"a file of {os.path.getsize(path)} bytes"
    names = sorted(map(_named, Path(path).iterdir()))
    return listed(names, _NUM_SHOWN) or "an empty folder"


def _named(entry: Path) -> str:
    if entry.is_dir() or entry.is_file():
        return entry.name + "/" * entry.is_dir()
    return f"{entry.name} ({'a link that leads nowhere' if entry.is_symlink() else 'no regular file'})"
