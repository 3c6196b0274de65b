"""The model under an adapter: where it is, and the one checkpoint that it has to be."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.types import CheckpointRef
from spectra_cli.core.words.names import listed
from spectra_cli.extract.checkpoints.adapter.config import AdapterConfig
from spectra_cli.extract.checkpoints.adapter.placement import MOST_NAMED
from spectra_cli.extract.checkpoints.huggingface.source import HuggingFaceFormat
from spectra_cli.extract.protocols import CheckpointSource

# A path or a name -> the checkpoints there; raises `CheckpointError` where there are none.
FindSource = Callable[[str], CheckpointSource]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The one checkpoint under an adapter."""

    source: CheckpointSource
    ref: CheckpointRef


def name_of_base(config: AdapterConfig, given: str) -> str:
    """What is `given`, or else the base that the adapter names: a path from the adapter's own folder,
    else from the working directory, else a name on the hub.

    Raises:
        CheckpointError: neither names one.
    """
    if given:
        return given
    if not config.base:
        raise CheckpointError(f"{config.path}: names no base model; give its folder or name with --base")
    for path in (config.path.parent / config.base, config.base):
        if os.path.exists(path):
            return os.path.abspath(path)
    return f"{config.base}@{config.revision}" if config.revision else config.base


def find_base(config: AdapterConfig, name: str, find: FindSource) -> Base:
    """The checkpoint at `name`.

    Raises:
        CheckpointError: there is none, or there are several.
    """
    where = f"{config.path.parent}: its base {name}"
    try:
        source = find(name)
    except CheckpointError as error:
        raise CheckpointError(f"{where} cannot be read; --base names one that can: {error}") from error
    # A run folder may hold a model of its own beside checkpoints of it.
    own = [ref for ref in source.refs() if ref.uri == os.path.abspath(name)]
    refs = own or list(source.refs())
    if len(refs) != 1:
        raise CheckpointError(
            f"{where} holds {len(refs)} checkpoints; --base names one of them: "
            f"{listed([ref.uri for ref in refs], MOST_NAMED)}"
        )
    return Base(source=source, ref=refs[0])


def huggingface_folder(name: str) -> CheckpointSource:
    """The Hugging Face checkpoints in a folder.

    Raises:
        CheckpointError: there are none.
    """
    source = HuggingFaceFormat().find(name)
    if source is None:
        raise CheckpointError(f"{name}: no Hugging Face checkpoint; expected {HuggingFaceFormat.summary}")
    return source
