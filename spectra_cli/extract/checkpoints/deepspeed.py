"""DeepSpeed ZeRO folders: recognised, and refused with the command that converts them.

ZeRO's shards are flat pieces of optimiser memory whose layout only DeepSpeed's own code knows; the
`zero_to_fp32.py` that it writes beside them turns them into ordinary weights.
"""

from __future__ import annotations

import os
from pathlib import Path

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.adapter.folders import adapters_inside, has_adapter_file
from spectra_cli.extract.checkpoints.files.weight_files import has_weights

_CONVERTER = "zero_to_fp32.py"
_OPTIMIZER_SHARDS = "*_optim_states.pt"
_MODEL_STATES = "*mp_rank_*_model_states.pt"


class DeepSpeedFormat:
    """Recognises DeepSpeed's own folders; there is nothing in them that is read."""

    name = "deepspeed"
    summary = f"DeepSpeed ZeRO folders only once converted: `python {_CONVERTER} . out` in the folder"

    def find(self, path: str) -> None:
        """None, unless all that is in `path` is DeepSpeed's.

        Raises:
            CheckpointError: it is; with the command that converts it, or the converted file's place.
        """
        given = Path(os.path.abspath(path))
        if not given.is_dir():
            return
        children = [child for child in sorted(given.iterdir()) if child.is_dir()]
        if any(has_weights(folder) for folder in (given, *children)) and not _converted(given, children):
            return
        for folder in (given, *children):
            if has_adapter_file(folder) or adapters_inside(folder):
                continue  # of a frozen base: what was trained lies beside the shards, whole
            if problem := deepspeed_problem(folder):
                raise CheckpointError(problem)


def deepspeed_problem(folder: Path) -> str:
    """Why a folder of DeepSpeed cannot be read and what to do; empty for any other folder."""
    tag = _tag(folder)
    if tag is None:
        return ""
    home = tag.parent if tag != folder or (tag.parent / _CONVERTER).is_file() else folder
    converted = [child for child in sorted(home.iterdir()) if child.is_dir() and has_weights(child)]
    if converted:
        return (
            f"{tag}: DeepSpeed ZeRO shards; {converted[0]} has them converted: put the model's config.json "
            "there and give that folder"
        )
    if not any(tag.glob(_OPTIMIZER_SHARDS)):
        return (
            f"{tag}: DeepSpeed's model states, without ZeRO shards ({_OPTIMIZER_SHARDS}). Save their entry "
            "`module` as pytorch_model.bin with torch.save, beside the model's config.json"
        )
    script = "" if (home / _CONVERTER).is_file() else f" ({_CONVERTER} comes with DeepSpeed)"
    return (
        f"{tag}: DeepSpeed ZeRO shards, which only DeepSpeed's own converter can join. In {home} run "
        f"`python {_CONVERTER} . out`{script}, put the model's config.json into out/, and give that folder"
    )


def _tag(folder: Path) -> Path | None:
    """The folder with the shards: `folder` itself or its newest `global_step*/`."""
    below = sorted(child for child in folder.glob("global_step*") if child.is_dir())
    for place in (folder, *reversed(below)):
        if any(place.glob(_OPTIMIZER_SHARDS)) or any(place.glob(_MODEL_STATES)):
            return place
    return None


def _converted(given: Path, children: list[Path]) -> bool:
    """Whether the weights that are there are a conversion that no config.json describes yet."""
    with_weights = [folder for folder in (given, *children) if has_weights(folder)]
    return all(not (folder / "config.json").is_file() for folder in with_weights)
