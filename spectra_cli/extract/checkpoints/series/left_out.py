"""What lies beside the checkpoints of a folder, looks like weights, and is not read."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from spectra_cli.core.words.names import listed
from spectra_cli.extract.checkpoints.series.found import is_staged
from spectra_cli.extract.protocols import CheckpointSource

_NUM_NAMED = 8
_WEIGHTS = re.compile(
    r".*\.(pt|pth|ckpt|safetensors|gguf|distcp)|(pytorch|adapter)_model.*\.bin", re.IGNORECASE
)
# optimisers, schedulers, random states and settings, which are no model's
_STATE = re.compile(
    r"(optim|scheduler|scaler|sampler|dataloader|random_states|rng_state|trainer|training_args).*",
    re.IGNORECASE,
)
# what a folder that is itself a checkpoint consists of
_OWN = re.compile(r"(model|pytorch_model|adapter_model)([-.].*)?|.*\.distcp", re.IGNORECASE)


def left_out(path: str, source: CheckpointSource) -> tuple[str, ...]:
    """Files and folders with weights that are none of the checkpoints found at `path`, and why not."""
    folder = Path(os.path.abspath(path))
    if not folder.is_dir():
        return ()
    taken = {Path(ref.uri) for ref in source.refs()}
    searched = {folder} | {file.parent for file in taken if folder in file.parents}
    files = [
        file
        for place in sorted(searched)
        for file in _weight_files(place)
        if file not in taken and not (place in taken and _OWN.fullmatch(file.name))
    ]
    folders = [
        child
        for child in sorted(folder.iterdir())
        if child.is_dir() and os.access(child, os.R_OK | os.X_OK) and not is_staged(child)
        if child not in taken | searched and any(_weight_files(child))
    ]
    kind = f"{source.format} checkpoints"
    return (
        *_notice(f"not named as {kind}, and not read", [str(file.relative_to(folder)) for file in files]),
        *_notice(
            f"folders beside the {kind}, each a series by itself, and not read",
            [f"{c.name}/" for c in folders],
        ),
    )


def _weight_files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.iterdir()):
        if _WEIGHTS.fullmatch(file.name) and not _STATE.fullmatch(file.name) and file.is_file():
            yield file


def _notice(what: str, names: Collection[str]) -> Iterator[str]:
    if names:
        yield f"{what}: {listed(names, _NUM_NAMED)}; give the path of one to scan it"
