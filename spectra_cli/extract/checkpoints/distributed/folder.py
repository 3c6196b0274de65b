"""Where a torch.distributed.checkpoint lies inside a folder of a run, told by file names alone."""

from __future__ import annotations

from pathlib import Path

from spectra_cli.extract.checkpoints.distributed.metadata import METADATA

SHARD_SUFFIX = ".distcp"
FSDP_PREFIX = "pytorch_model_fsdp"


def distributed_payload(folder: Path) -> Path | None:
    """The folder with the model's shards: `folder`, or what accelerate and Trainer put into it.

    `optimizer_0/`, which they write beside `pytorch_model_fsdp_0/`, holds no model. A folder with shards
    and no `.metadata` counts: it is unfinished, and that is said when it is read.
    """
    if folder.name.startswith("optimizer"):
        return None
    below = sorted(folder.glob(f"{FSDP_PREFIX}*/"))
    for place in (folder, *below):
        if (place / METADATA).is_file() or any(place.glob(f"*{SHARD_SUFFIX}")):
            return place
    return None
