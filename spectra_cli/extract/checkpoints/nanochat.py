"""nanochat folders: `model_000100.pt` beside `meta_000100.json`; optimiser shards are left alone."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.notices import tokens_unknown
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.files.json_object import read_json_object
from spectra_cli.extract.checkpoints.files.pickles import open_pickle
from spectra_cli.extract.checkpoints.files.state_dicts import header_of, tensor_bytes, tensors_of
from spectra_cli.extract.checkpoints.files.unchanged import one_reading
from spectra_cli.extract.checkpoints.series.found import FoundRun, fingerprint, found_files
from spectra_cli.extract.checkpoints.tensors.wrappers import require_gathered, unwrapped
from spectra_cli.extract.protocols import CheckpointHeader

_FORMAT = "nanochat"
_MODEL = re.compile(r"model_(\d{1,18})\.pt")
_OWN_TENSOR = "transformer.h.0.attn.c_q.weight"


class NanochatFormat:
    """Finds nanochat checkpoints."""

    name = _FORMAT
    summary = (
        "a folder of nanochat (base_checkpoints/d20), or one file of it: model_000100.pt, meta_000100.json"
    )

    def find(self, path: str) -> NanochatSource | None:
        """The checkpoints that `path` is or holds, None if no meta file stands beside any of them."""
        given = Path(os.path.abspath(path))
        files = nanochat_files(given) if given.is_dir() else [given] if is_nanochat(given) else []
        return found_files(NanochatSource, files, format_name=_FORMAT, step_of=_step)


def _step(file: Path) -> int | None:
    numbered = _MODEL.fullmatch(file.name)
    return int(numbered[1]) if numbered else None


def nanochat_files(folder: Path) -> list[Path]:
    """Every `model_*.pt` of a folder where at least one has its meta file, else none."""
    files = sorted(file for file in folder.glob("model_*.pt") if _MODEL.fullmatch(file.name))
    return files if any(is_nanochat(file) for file in files) else []


def is_nanochat(file: Path) -> bool:
    """Whether a meta file of nanochat stands beside a file of tensors."""
    match = _MODEL.fullmatch(file.name)
    return match is not None and _meta_of(file).is_file()


def require_meta(file: Path, names: Collection[str]) -> None:
    """Nothing, if a file that is read as another format's is none of nanochat's, left without its meta file.

    Raises:
        CheckpointError: its name and the names of its tensors are nanochat's.
    """
    if _MODEL.fullmatch(file.name) and not is_nanochat(file) and _OWN_TENSOR in names:
        raise CheckpointError(_no_meta(file))


def _no_meta(file: Path) -> str:
    return (
        f"{file}: a checkpoint of nanochat, and no {_meta_of(file).name} beside it, which says what model it "
        "is; copy it there, too"
    )


def _meta_of(file: Path) -> Path:
    return file.with_name(file.name.replace("model_", "meta_", 1)).with_suffix(".json")


@dataclass(kw_only=True, slots=True)
class NanochatSource(FoundRun):
    """One run of nanochat."""

    format: str = _FORMAT

    @one_reading()
    def header(self, ref: CheckpointRef) -> CheckpointHeader:
        """What `ref` says: the headers of its tensors, and its meta file.

        Raises:
            CheckpointError: damaged, or no meta file, or one without `model_config`.
            UnsafePickleError: it needs types outside the allow-list.
        """
        file = Path(ref.uri)
        meta_file = _meta_of(file)
        if not meta_file.is_file():
            raise CheckpointError(_no_meta(file))
        meta = read_json_object(meta_file)
        config = meta.get("model_config")
        if not isinstance(config, dict):
            raise CheckpointError(
                f"{meta_file}: no model_config in it; found {', '.join(meta) or 'nothing'}. "
                "It is half-written or of another program"
            )
        with open_pickle(file) as stored:
            state, removed = unwrapped(tensors_of(stored.content, file))
        require_gathered({name: header_of(tensor) for name, tensor in state.items()}, where=str(file))
        batch = _batch_tokens(meta)
        loss = meta.get("val_loss")
        sources = {
            "config": meta_file.name,
            "tokens_seen": f"{meta_file.name}: step x total_batch_size" if batch else "",
            "batch_size_tokens": f"{meta_file.name}: total_batch_size" if batch else "",
            "eval_loss": meta_file.name if isinstance(loss, float) else "",
        }
        return CheckpointHeader(
            ref=ref,
            tensors={name: header_of(tensor) for name, tensor in state.items()},
            config=config,
            fingerprint=fingerprint(file.parent, [file, meta_file]),
            num_bytes=tensor_bytes(state),
            tokens_seen=ref.step * batch if batch and ref.step is not None else None,
            batch_size_tokens=batch,
            eval_loss=loss if isinstance(loss, float) else None,
            stated_step=meta["step"] if type(meta.get("step")) is int else None,
            sources={name: source for name, source in sources.items() if source},
            notices=(*removed, *_notices(ref, meta, batch)),
        )

    @one_reading()
    def open(self, ref: CheckpointRef) -> dict[str, Tensor]:
        """The tensors as stored.

        Raises:
            CheckpointError, UnsafePickleError: as `header`.
        """
        file = Path(ref.uri)
        with open_pickle(file) as stored:
            state = tensors_of(stored.content, file)
            stored.read(state.values())
        return unwrapped(state)[0]


def _batch_tokens(meta: Mapping[str, Any]) -> int | None:
    """Tokens of one step of pretraining, as settled by the run or as asked for; None in later stages."""
    user = meta.get("user_config")
    asked = user.get("total_batch_size") if isinstance(user, Mapping) else None
    for value in (meta.get("total_batch_size"), asked):
        # -1 asks nanochat to choose
        if type(value) is int and value > 0 and "dataloader_state_dict" in meta:
            return value
    return None


def _notices(ref: CheckpointRef, meta: Mapping[str, Any], batch: int | None) -> tuple[str, ...]:
    notices = []
    if type(meta.get("step")) is int and meta["step"] != ref.step:
        notices.append(f"the file's name says step {ref.step}, its meta file step {meta['step']}")
    if batch is None:
        notices.append(tokens_unknown("the meta file states no total_batch_size of a pretraining run"))
    if isinstance(meta.get("val_bpb"), float) and "val_loss" not in meta:
        bits = f"{meta['val_bpb']:.4f} bits per byte"
        notices.append(f"validation loss is {bits}, which are no nats per token: not taken over")
    return tuple(notices)
