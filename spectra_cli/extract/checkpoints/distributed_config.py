"""What a distributed checkpoint's model is: from config.json beside or above it, else from its names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.json_object import read_json_object
from spectra_cli.extract.checkpoints.torchtitan import (
    NOTICE,
    PARAMETERS,
    Shape,
    is_torchtitan_llama,
    llama_config,
    llama_names,
)
from spectra_cli.extract.checkpoints.training_arguments import find_arguments

CONFIG = "config.json"

_NANOGPT_EMBEDDINGS = ("transformer.wte.weight", "tok_embed.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What the tensors mean.

    Attributes:
        config: as the family wants it; layout: format whose families read it.
        names: name that the family expects -> own name.
        head_dim: of Meta's Llama, whose q and k are to be reordered; None for every other.
        source: name of the file that says so, and files: its path; empty where names alone do.
        notices: what the user must know.
    """

    config: Mapping[str, Any]
    layout: str
    names: Mapping[str, str]
    head_dim: int | None = None
    source: str = ""
    files: tuple[Path, ...] = ()
    notices: tuple[str, ...] = ()


def describe(shapes: Mapping[str, Shape], payload: Path, folder: Path) -> Description:
    """The model of these tensors.

    Args:
        shapes: name -> shape.
        payload: folder with the shards; folder: the checkpoint, the same or the one above.

    Raises:
        CheckpointError: nothing describes it, with what to write where; or a file that is no JSON.
    """
    where = list(dict.fromkeys((payload, folder, folder.parent, folder.parent.parent)))
    config, file = _nearest(where, CONFIG, needed="model_type")
    if is_torchtitan_llama(shapes):
        return _torchtitan(shapes, folder, where, config, file)
    same = {name: name for name in shapes}
    if file is not None:
        return Description(config=config, layout="huggingface", names=same, source=CONFIG, files=(file,))
    if any(name in shapes for name in _NANOGPT_EMBEDDINGS):
        arguments = find_arguments(folder / "checkpoint", None)
        return Description(
            config={**arguments.values, "layout": "state-dict", "file_family": ""},
            layout="nanogpt",
            names=same,
            source=arguments.file.name if arguments.file else "",
            files=(arguments.file,) if arguments.file else (),
        )
    raise CheckpointError(
        f"{folder}: nothing says what model it is: no {CONFIG} with a model_type in it or in the two folders "
        f"above, and tensors named {', '.join(sorted(shapes)[:4])}. Put the model's {CONFIG} there"
    )


def _torchtitan(
    shapes: Mapping[str, Shape], folder: Path, where: list[Path], config: Mapping[str, Any], file: Path | None
) -> Description:
    names = llama_names(shapes)
    if file is None:
        config, file = _nearest(where, PARAMETERS, needed="")
    described = llama_config({n: shapes[own] for n, own in names.items()}, config, where=str(folder))
    head_dim = described.get("head_dim") or described["hidden_size"] // described["num_attention_heads"]
    left = sorted(set(shapes) - set(names.values()))
    recomputed = (f"recomputed instead of read: {', '.join(left)}",) if left else ()
    return Description(
        config=described,
        layout="huggingface",
        names=names,
        head_dim=int(head_dim),
        source=file.name if file else "",
        files=(file,) if file else (),
        notices=(NOTICE, *recomputed),
    )


def _nearest(folders: list[Path], name: str, *, needed: str) -> tuple[dict[str, Any], Path | None]:
    """The first file of this name that has the entry `needed`, or ({}, None)."""
    for folder in folders:
        if (folder / name).is_file():
            content = read_json_object(folder / name)
            if not needed or isinstance(content.get(needed), str):
                return content, folder / name
    return {}, None
