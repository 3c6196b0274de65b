"""What a distributed checkpoint's model is: from config.json beside or above it, else from its names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.distributed.torchtitan import (
    FIRST_QUERY,
    NOTICE,
    PARAMETERS,
    Shape,
    is_torchtitan_llama,
    llama_config,
    llama_names,
    size_notices,
)
from spectra_cli.extract.checkpoints.files.json_object import read_json_object
from spectra_cli.extract.checkpoints.nanogpt.training_arguments import find_arguments

CONFIG = "config.json"

_NANOGPT_EMBEDDINGS = ("transformer.wte.weight", "tok_embed.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedConfig:
    """What the tensors mean.

    Attributes:
        config: as the family wants it; layout: format whose families read it.
        names: name that the family expects -> own name.
        head_dim: of Meta's Llama, whose q and k are to be reordered; None for every other.
        files: the one that says so, and source: its path from the checkpoint; empty where names alone do.
        notices: what the user must know.
    """

    config: Mapping[str, Any]
    layout: str
    names: Mapping[str, str]
    head_dim: int | None = None
    files: tuple[Path, ...] = ()
    source: str = ""
    notices: tuple[str, ...] = ()


def describe(shapes: Mapping[str, Shape], payload: Path, folder: Path) -> SavedConfig:
    """The model of these tensors, with a notice where a file outside the checkpoint says what it is.

    Args:
        shapes: name -> shape.
        payload: folder with the shards; folder: the checkpoint, the same or the one above.

    Raises:
        CheckpointError: nothing describes it, with what to write where; or a file that is no JSON.
    """
    described = _described(shapes, payload, folder)
    if not described.files:
        return described
    (file,) = described.files
    source = Path(os.path.relpath(file, folder)).as_posix()
    outside = () if file.is_relative_to(folder) else (f"described by {source}, outside its own folder",)
    return replace(described, source=source, notices=described.notices + outside)


def _described(shapes: Mapping[str, Shape], payload: Path, folder: Path) -> SavedConfig:
    where = list(dict.fromkeys((payload, folder, folder.parent, folder.parent.parent)))
    config, file = _nearest(where, CONFIG, needed="model_type")
    if is_torchtitan_llama(shapes):
        return _torchtitan(shapes, folder, where, config, file)
    same = {name: name for name in shapes}
    if file is not None:
        return SavedConfig(config=config, layout="huggingface", names=same, files=(file,))
    if any(name in shapes for name in _NANOGPT_EMBEDDINGS):
        arguments = find_arguments(folder / "checkpoint", None)
        return SavedConfig(
            config={**arguments.values, "layout": "state-dict", "file_family": ""},
            layout="nanogpt",
            names=same,
            files=(arguments.file,) if arguments.file else (),
        )
    raise CheckpointError(
        f"{folder}: nothing says what model it is: no {CONFIG} with a model_type in it or in the two folders "
        f"above, and tensors named {', '.join(sorted(shapes)[:4])}. Put the model's {CONFIG} there"
    )


def _torchtitan(
    shapes: Mapping[str, Shape], folder: Path, where: list[Path], config: Mapping[str, Any], file: Path | None
) -> SavedConfig:
    names = llama_names(shapes)
    if file is None:
        config, file = _nearest(where, PARAMETERS, needed="")
    described = llama_config({n: shapes[own] for n, own in names.items()}, config, where=str(folder))
    num_heads, (rows, _) = described.get("num_attention_heads"), shapes[FIRST_QUERY]
    if type(num_heads) is not int or num_heads < 1 or rows % (2 * num_heads):
        raise CheckpointError(
            f"{file or folder}: num_attention_heads is {num_heads!r:.40}, which does not divide q of {rows} "
            "rows into even heads; put the configuration of this model there"
        )
    sizes = () if config.get("model_type") else size_notices(described, config, source=PARAMETERS)
    left = sorted(set(shapes) - set(names.values()))
    recomputed = (f"recomputed instead of read: {', '.join(left)}",) if left else ()
    return SavedConfig(
        config=described,
        layout="huggingface",
        names=names,
        head_dim=rows // num_heads,
        files=(file,) if file else (),
        notices=(NOTICE, *sizes, *recomputed),
    )


def _nearest(folders: list[Path], name: str, *, needed: str) -> tuple[dict[str, Any], Path | None]:
    """The first file of this name that has the entry `needed`, or ({}, None)."""
    for folder in folders:
        if (folder / name).is_file():
            content = read_json_object(folder / name)
            if not needed or isinstance(content.get(needed), str):
                return content, folder / name
    return {}, None
