"""llm.c's `.bin` model files: GPT-2 in one flat file, seen as the state dict of transformers' GPT-2.

256 int32 (magic, version, positions, vocabulary, layers, heads, width, padded vocabulary), then the
parameters one after another, those of all layers together, matrices as fan_out x fan_in. The vocabulary
is padded with rows that the softmax of llm.c never sees: they are left out here.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectra_cli.core.bounded_text import too_large
from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.notices import tokens_unknown
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.files.state_dicts import header_of
from spectra_cli.extract.checkpoints.files.stored_file import Pages, Range, StoredFile
from spectra_cli.extract.checkpoints.files.unchanged import one_reading
from spectra_cli.extract.checkpoints.series.found import FoundRun, fingerprint, found_files, parse_step
from spectra_cli.extract.protocols import CheckpointHeader

_FORMAT = "llmc"
_MAGIC = 20240326
_DTYPES = {3: torch.float32, 5: torch.bfloat16}
_HEADER_BYTES = 1024
_NUMBERED = re.compile(r"model_(\d{1,18})\.bin")
# as llm.c writes its names, and no other trainer
_PADDED = re.compile(r"model_\d{8}\.bin")


class LlmcFormat:
    """Finds llm.c model files."""

    name = _FORMAT
    summary = "a GPT-2 model file of llm.c (model_00001000.bin, gpt2_124M.bin), or a folder with such files"

    def find(self, path: str) -> LlmcSource | None:
        """The model files that `path` is or holds; None if there are none."""
        given = Path(os.path.abspath(path))
        files = sorted(given.glob("*.bin")) if given.is_dir() else [given]
        files = [file for file in files if file.suffix == ".bin" and _is_model(file)]
        return found_files(LlmcSource, files, format_name=_FORMAT, step_of=_step)


def _is_model(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        with file.open("rb") as stream:
            own = int.from_bytes(stream.read(4), "little") == _MAGIC
            return own or _PADDED.fullmatch(file.name) is not None  # damaged: said when it is read
    except PermissionError:  # said when it is read
        return _NUMBERED.fullmatch(file.name) is not None
    except OSError:
        return False


def _step(file: Path) -> int | None:
    numbered = _NUMBERED.fullmatch(file.name)
    return int(numbered[1]) if numbered else parse_step(file.stem)


@dataclass(kw_only=True, slots=True)
class LlmcSource(FoundRun):
    """One run of llm.c."""

    format: str = _FORMAT

    @one_reading()
    def header(self, ref: CheckpointRef) -> CheckpointHeader:
        """What `ref` says in its first kilobyte, and the losses of `main.log` beside it.

        Raises:
            CheckpointError: half-written, of an older version, or sizes that make no GPT-2.
        """
        file = Path(ref.uri)
        with StoredFile(file) as stored:
            sizes = _read_sizes(stored)
        state = _state(torch.empty(sizes.num_values, dtype=sizes.dtype, device="meta"), sizes)
        losses = read_losses(file.parent, ref.step)
        num_padding = sizes.padded_vocab_size - sizes.vocab_size
        padding = f"{num_padding} rows of the embedding pad its vocabulary: left out, as llm.c's softmax does"
        return CheckpointHeader(
            ref=ref,
            tensors={name: header_of(tensor) for name, tensor in state.items()},
            config=sizes.config(),
            fingerprint=fingerprint(file.parent, [file]),
            num_bytes=sum(tensor.nbytes for tensor in state.values()),
            **losses,
            sources={"config": file.name, **dict.fromkeys(losses, LOG)},
            layout="huggingface",
            notices=(*[padding] * (num_padding > 0), tokens_unknown("llm.c's model files do not say")),
        )

    @one_reading()
    def open(self, ref: CheckpointRef) -> dict[str, Tensor]:
        """The tensors under the names of transformers' GPT-2.

        Raises:
            CheckpointError: as `header`.
        """
        with StoredFile(Path(ref.uri)) as file:
            sizes = _read_sizes(file)
            pages = Pages(file, _HEADER_BYTES, file.size - _HEADER_BYTES)
            pages.fill([Range(begin=0, end=file.size - _HEADER_BYTES)])
        return _state(pages.content.view(sizes.dtype), sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """The header, in GPT-2's words."""

    dtype: torch.dtype
    n_positions: int
    vocab_size: int
    n_layer: int
    n_head: int
    n_embd: int
    padded_vocab_size: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters in the order of the file."""
        L, C = self.n_layer, self.n_embd
        return {
            "wte": (self.padded_vocab_size, C),
            "wpe": (self.n_positions, C),
            "ln_1.weight": (L, C),
            "ln_1.bias": (L, C),
            "attn.c_attn.weight": (L, 3 * C, C),
            "attn.c_attn.bias": (L, 3 * C),
            "attn.c_proj.weight": (L, C, C),
            "attn.c_proj.bias": (L, C),
            "ln_2.weight": (L, C),
            "ln_2.bias": (L, C),
            "mlp.c_fc.weight": (L, 4 * C, C),
            "mlp.c_fc.bias": (L, 4 * C),
            "mlp.c_proj.weight": (L, C, 4 * C),
            "mlp.c_proj.bias": (L, C),
            "ln_f.weight": (C,),
            "ln_f.bias": (C,),
        }

    @property
    def num_values(self) -> int:
        """Numbers of all parameters together."""
        return sum(map(math.prod, self.shapes().values()))

    def config(self) -> Mapping[str, Any]:
        """As transformers' GPT-2 wants it; llm.c's GELU is the tanh approximation."""
        return {
            "model_type": "gpt2",
            "vocab_size": self.vocab_size,
            "n_positions": self.n_positions,
            "n_embd": self.n_embd,
            "n_layer": self.n_layer,
            "n_head": self.n_head,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5,
            "tie_word_embeddings": True,
        }


def _read_sizes(stored: StoredFile) -> _Sizes:
    file, num_bytes = stored.path, stored.size
    if num_bytes < _HEADER_BYTES:
        raise CheckpointError(
            f"{file}: {num_bytes} bytes, less than llm.c's header of {_HEADER_BYTES}: "
            "half-written; copy or save it again"
        )
    start = stored.read(0, _HEADER_BYTES)
    magic, version, positions, vocab, layers, heads, width, padded = np.frombuffer(start, "<i4")[:8].tolist()
    if magic != _MAGIC or version not in _DTYPES:
        raise CheckpointError(
            f"{file}: magic {magic}, version {version}; expected {_MAGIC} and version 3 (float32) or 5 "
            "(bfloat16) with a padded vocabulary: its start is damaged, or it is of an older llm.c; copy it "
            "again, or write it with today's"
        )
    sizes = _Sizes(
        dtype=_DTYPES[version],
        n_positions=positions,
        vocab_size=vocab,
        n_layer=layers,
        n_head=heads,
        n_embd=width,
        padded_vocab_size=padded,
    )
    if min(positions, vocab, layers, heads, width) < 1 or width % heads or padded < vocab:
        raise CheckpointError(f"{file}: a header that makes no GPT-2: {sizes}; copy or save it again")
    expected = _HEADER_BYTES + sizes.dtype.itemsize * sizes.num_values
    if num_bytes != expected:
        raise CheckpointError(
            f"{file}: {num_bytes} bytes, its header claims {expected}: half-written or damaged; "
            "copy or save it again"
        )
    return sizes


def _state(flat: Tensor, sizes: _Sizes) -> dict[str, Tensor]:
    """The flat parameters as views; GPT-2's Conv1D keeps its matrices as fan_in x fan_out."""
    shapes = sizes.shapes()
    pieces = flat.split([math.prod(shape) for shape in shapes.values()])
    state: dict[str, Tensor] = {}
    for (name, shape), piece in zip(shapes.items(), pieces, strict=True):
        tensor = piece.view(shape)
        if name == "wte":
            state["transformer.wte.weight"] = tensor[: sizes.vocab_size]
        elif name == "wpe" or name.startswith("ln_f"):
            state[f"transformer.{name}" + ".weight" * (name == "wpe")] = tensor
        else:
            for layer, part in enumerate(tensor):
                state[f"transformer.h.{layer}.{name}"] = part.T if part.ndim == 2 else part
    return state


LOG = "main.log"
_MOST_BYTES = 1 << 28

# a last line without a line end may be half a number
_LINE = re.compile(r"^s:(\d{1,18}) (trl|tel):(\S+)(\s?)", re.MULTILINE)


def read_losses(folder: Path, step: int | None) -> dict[str, Any]:
    """The losses that `main.log` in `folder` has at `step`; the last line counts where a run resumed, and
    a number that nothing follows, not even a line end, is none yet.

    Returns:
        `train_loss`, on the step's batch, and `eval_loss`, on the validation set, as far as they are there:
        nats per token. Both of line s are of weights that have made s updates, as those of the model file of
        step s have.

    Raises:
        CheckpointError: the log is too large to be one.
    """
    log = folder / LOG
    if step is None or not log.is_file():
        return {}
    with StoredFile(log, may_grow=True) as file:
        if file.size > _MOST_BYTES:
            raise CheckpointError(too_large(str(log), file.size, _MOST_BYTES))
        text = file.read(0, file.size).decode(errors="replace")
    lines = {(line[2], int(line[1])): line[3] if line[4] else None for line in _LINE.finditer(text)}
    words = {"train_loss": "trl", "eval_loss": "tel"}
    found = {name: _number(lines.get((word, step))) for name, word in words.items()}
    return {name: value for name, value in found.items() if value is not None}


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
