"""Where PEFT puts the adapters of a run: in `checkpoint-500` itself, or in a folder inside it for each name.

PEFT writes the adapter called `default` into the checkpoint's folder and every other one into a folder of its
own; wrappers around it write `checkpoint-500/adapter`. What a trainer says of the step stands above them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.adapter.config import ADAPTER_CONFIG
from spectra_cli.extract.checkpoints.distributed.folder import distributed_payload
from spectra_cli.extract.checkpoints.files.weight_files import has_weights
from spectra_cli.extract.checkpoints.series.found import is_own, parse_step, training_step
from spectra_cli.extract.checkpoints.series.trainer_state import TRAINER_STATE

# In the order in which PEFT looks for them.
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


def has_adapter_file(folder: Path) -> bool:
    """Whether any file of an adapter is there."""
    return any((folder / name).is_file() for name in (ADAPTER_CONFIG, *ADAPTER_WEIGHTS))


def adapters_inside(folder: Path) -> tuple[Path, ...]:
    """The adapters in folders of their own inside a checkpoint, unless that is one of a whole model."""
    if has_weights(folder) or distributed_payload(folder) is not None:
        return ()
    return tuple(
        child
        for child in sorted(folder.iterdir())
        if child.is_dir() and not child.name.startswith((".", "tmp")) and has_adapter_file(child)
        # a checkpoint of its own
        if parse_step(child.name) is None
    )


def is_checkpoint_of_adapters(folder: Path) -> bool:
    """Whether a folder that is named after a step holds adapters in folders of their own, and no further
    checkpoints.
    """
    if not folder.is_dir() or parse_step(folder.name) is None or not adapters_inside(folder):
        return False
    children = [child for child in folder.iterdir() if child.is_dir() and parse_step(child.name) is not None]
    return not any(has_adapter_file(child) or adapters_inside(child) for child in children)


def home_of(adapter: Path) -> Path:
    """The folder with what the trainer says of an adapter: its own, or the checkpoint that it lies in."""
    own = parse_step(adapter.name) is not None or (adapter / TRAINER_STATE).is_file()
    inside = is_checkpoint_of_adapters(adapter.parent)
    return adapter.parent if inside and not own else adapter


def _inside_checkpoint(ref: CheckpointRef) -> tuple[Path, ...]:
    """Adapters inside a checkpoint; those inside a run's own folder are its children already."""
    folder = Path(ref.uri)
    return adapters_inside(folder) if parse_step(folder.name) is not None and not is_own(ref) else ()


def every_adapter(refs: Iterable[CheckpointRef]) -> tuple[tuple[CheckpointRef, ...], tuple[str, ...]]:
    """A reference for each adapter of each checkpoint, with the checkpoint's step; and what to say of them.

    Several adapters in one checkpoint are told apart by their names as labels.
    """
    places = [
        (ref, folder)
        for ref in refs
        for inside in [_inside_checkpoint(ref)]
        for folder in ([Path(ref.uri)] if has_adapter_file(Path(ref.uri)) or not inside else []) + [*inside]
    ]
    names = sorted({folder.name for ref, folder in places if Path(ref.uri) != folder})
    several = len({"" if Path(ref.uri) == folder else folder.name for ref, folder in places}) > 1
    found = []
    for ref, folder in places:
        label = ref.label
        if several and Path(ref.uri) != folder:
            label = f"{ref.label}-{folder.name}" if ref.label else folder.name
        step = training_step(home_of(folder)) if ref.step is None else ref.step
        found.append(replace(ref, uri=str(folder), step=step, label=label))
    told = f"several adapters in one checkpoint, each read as a checkpoint of its own: {', '.join(names)}"
    advice = "give the folder of one to read it alone"
    return tuple(found), (f"{told}; {advice}",) if several and names else ()
