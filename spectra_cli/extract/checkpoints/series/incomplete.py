"""Folders and files that are nearly a checkpoint: what they are, what they lack, and what to do."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path

from spectra_cli.core.words.plurals import counted
from spectra_cli.extract.checkpoints.files.weight_files import WEIGHT_NAMES

CONFIG = "config.json"
_SHARD = re.compile(r"(model|pytorch_model)-\d{5}-of-\d{5}\.(safetensors|bin)")
_LIGHTNING_MARK = b"pytorch-lightning_version"
_HDF5 = b"\x89HDF\r\n\x1a\n"
# what accelerate's save_state writes beside the weights
_OF_ACCELERATE = ("optimizer.bin", "scheduler.bin", "sampler.bin", "random_states_0.pkl")


def why_none(path: str) -> str:
    """Why nothing at `path` is a checkpoint, in sentences; empty where there is nothing to say of it."""
    place = Path(path)
    if place.is_file():
        return _spectra(place) or (_lightning([place]) if place.suffix == ".ckpt" else "")
    found = _lightning(sorted(place.glob("*.ckpt")) or sorted(place.glob("checkpoints/*.ckpt")))
    return found or _hugging_face(place)


def _spectra(file: Path) -> str:
    with file.open("rb") as opened:
        if opened.read(len(_HDF5)) != _HDF5:
            return ""
    return (
        f"{file}: an HDF5 file, as archives of spectra are, and no checkpoint. Look at an archive with "
        f"`spectra show {file}`; to measure, give the folder of checkpoints"
    )


def no_config(folder: Path) -> str:
    """What to say of weights that no configuration describes."""
    is_of_accelerate = any((folder / name).is_file() for name in _OF_ACCELERATE)
    by = ", as accelerate's save_state leaves them" if is_of_accelerate else ""
    return (
        f"{folder}: weights without {CONFIG}{by}, and nothing else says what model they are of. Put the "
        f"model's {CONFIG} there (model.config.save_pretrained writes it)"
    )


def _hugging_face(folder: Path) -> str:
    """Weights without a configuration, or the other way round; links and folders by their names included."""
    weights = [name for name in WEIGHT_NAMES if (folder / name).is_file()]
    if weights and not (folder / CONFIG).exists() and not (folder / CONFIG).is_symlink():
        return no_config(folder)
    for name in (CONFIG, *WEIGHT_NAMES):
        if os.path.lexists(folder / name) and not (folder / name).is_file():
            kind = "a link that leads nowhere" if (folder / name).is_symlink() else "no regular file"
            return f"{folder / name}: {kind}; expected a file. Copy it again"
    if weights or not (folder / CONFIG).is_file():
        return ""
    shards = [child.name for child in sorted(folder.iterdir()) if _SHARD.fullmatch(child.name)]
    if shards:
        stem, ending = shards[0].partition("-")[0], shards[0].rpartition(".")[2]
        index = f"{stem}.{ending}.index.json"
        return (
            f"{folder}: {counted(len(shards), 'shard')} ({shards[0]}{', ...' * (len(shards) > 1)}) "
            f"without {index}, which says what they hold; "
            "copy it there, too"
        )
    return (
        f"{folder}: {CONFIG} without weights; expected one of {', '.join(WEIGHT_NAMES)}. It may still be "
        "being written, or have been cleaned up"
    )


def _lightning(files: list[Path]) -> str:
    """What to do with checkpoints of PyTorch Lightning."""
    if not files or not any(map(_is_of_lightning, files)):
        return ""
    file = files[0]
    command = (
        "import torch; s = torch.load('FILE', map_location='cpu', weights_only=False)['state_dict']; "
        "torch.save({n.removeprefix('model.'): t for n, t in s.items()}, 'pytorch_model.bin')"
    ).replace("FILE", file.name)
    return (
        f"{file}: a checkpoint of PyTorch Lightning, whose entry state_dict holds the model under the name "
        f'that the module gives it. If you trust its origin, take it out: `python -c "{command}"`, put the '
        f"model's {CONFIG} beside it, and give that folder (for nanoGPT's models: name it ckpt.pt)"
    )


def _is_of_lightning(file: Path) -> bool:
    """Whether the pickle names Lightning's version; nothing is unpickled."""
    try:
        with zipfile.ZipFile(file) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            return any(_LIGHTNING_MARK in archive.read(name) for name in pickles)
    except (zipfile.BadZipFile, OSError):
        return False
