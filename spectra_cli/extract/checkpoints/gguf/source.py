"""GGUF files, dequantised and renamed by transformers' own loader."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spectra_cli.core.errors import CheckpointError, ModelError, NoReaderError
from spectra_cli.core.types import CheckpointRef
from spectra_cli.core.words.plurals import counted
from spectra_cli.extract.checkpoints.files.stored_file import StoredFile
from spectra_cli.extract.checkpoints.files.unchanged import one_reading
from spectra_cli.extract.checkpoints.gguf.header import TOKENS, GgufHead, read_gguf_head
from spectra_cli.extract.checkpoints.gguf.in_memory import gguf_in_memory
from spectra_cli.extract.checkpoints.gguf.rope import is_rope_table, stored_rope
from spectra_cli.extract.checkpoints.series.found import FoundRun, fingerprint, found_files, parse_step
from spectra_cli.extract.models.transformers.library_code import library_code, quiet_transformers
from spectra_cli.extract.protocols import CheckpointHeader, TensorHeader

_FORMAT = "gguf"
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})$")
# how many numbers are stored as they were, not in blocks with a common scale
_PLAIN = frozenset({"F32", "F16", "BF16", "F64"})


_NO_MODEL = "its metadata describe no model that transformers can build"


class GgufFormat:
    """Finds GGUF files."""

    name = _FORMAT
    summary = "a .gguf file of llama.cpp, or a folder with such files"

    def find(self, path: str) -> GgufSource | None:
        """The files that `path` is or holds; None if there are none."""
        given = Path(os.path.abspath(path))
        files = sorted(given.glob("*.gguf")) if given.is_dir() else [given]
        files = [file for file in files if file.suffix == ".gguf" and file.is_file()]
        return found_files(GgufSource, files, format_name=_FORMAT, step_of=lambda file: parse_step(file.stem))


@dataclass(kw_only=True, slots=True)
class GgufSource(FoundRun):
    """GGUF files of one folder."""

    format: str = _FORMAT

    @one_reading()
    def header(self, ref: CheckpointRef) -> CheckpointHeader:
        """What `ref` says before any tensor is dequantised.

        Raises:
            CheckpointError: no gguf package, a damaged file, or an architecture that transformers does
                not read from GGUF.
        """
        file = Path(ref.uri)
        with _reading(file, with_values=False) as content:
            types = Counter(tensor.tensor_type.name for tensor in content.reader.tensors)
            num_bytes = sum(int(tensor.n_bytes) for tensor in content.reader.tensors)
            config = _config(file, content)
            model = _skeleton(file, config)
            _require_its_numbers(file, content.reader, model)
            shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
            tensors = {name: TensorHeader(shape=shape, dtype=torch.float32) for name, shape in shapes.items()}
        return CheckpointHeader(
            ref=ref,
            tensors=tensors,
            config=config,
            layout="huggingface",
            fingerprint=fingerprint(file.parent, [file]),
            num_bytes=num_bytes,
            read_bytes=sum(math.prod(h.shape) * h.dtype.itemsize for h in tensors.values()),
            sources={"config": file.name},
            notices=_notices(types),
        )

    @one_reading()
    def open(self, ref: CheckpointRef) -> dict[str, Tensor]:
        """The tensors in float32, under transformers' names.

        Raises:
            CheckpointError: as `header`; or a tensor of the file that has no place in the model.
        """
        file = Path(ref.uri)
        with _reading(file, with_values=True) as content:
            state = _load(file, _skeleton(file, _config(file, content)))
            _check_complete(file, content.reader, state)
            return state


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """A file that is open: its head, and the gguf package's reader of it."""

    head: GgufHead
    reader: Any

    @property
    def num_tokens(self) -> int | None:
        """Tokens of its vocabulary, None where it brings none."""
        return next((entry.length for entry in self.head.entries if entry.name == TOKENS), None)


@contextlib.contextmanager
def _reading(file: Path, *, with_values: bool) -> Iterator[_Content]:
    """Inside, the gguf package reads the file, its tensors only `with_values`.

    Errors of the package and of transformers' loader are told as ours.

    Raises:
        CheckpointError: see `GgufSource.header`.
    """
    if importlib.util.find_spec("gguf") is None:
        raise NoReaderError(f"{file}: reading GGUF needs one more package: pip install 'llm-spectra[gguf]'")
    split = _SPLIT.search(file.stem)
    if split and int(split[2]) > 1:
        raise CheckpointError(
            f"{file}: one of {int(split[2])} pieces of a model; join them first with llama.cpp's "
            "`llama-gguf-split --merge`"
        )
    try:
        with StoredFile(file) as stored:
            head = read_gguf_head(stored)
            with gguf_in_memory(stored, head, with_values=with_values) as reader:
                yield _Content(head=head, reader=reader)
    except ModelError as error:  # of the metadata, which are all that says what the model is
        raise CheckpointError(
            f"{error}; they are damaged, or transformers reads no such model from GGUF: convert it again, or "
            "use the original safetensors"
        ) from error
    except NotImplementedError as error:
        raise CheckpointError(f"{file}: {error}") from error
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        raise CheckpointError(
            f"{file}: cannot be read as GGUF: {error}; it is damaged or half-written, or transformers reads "
            "no such model from GGUF: convert it again, or use the original safetensors"
        ) from error


def _config(file: Path, content: _Content) -> dict[str, Any]:
    """The model's configuration as transformers makes it from the file.

    Raises:
        CheckpointError: it claims more layers than there are tensors.
    """
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    with quiet_transformers(), library_code(str(file), _NO_MODEL):  # it would warn: it sees no vocabulary
        config = load_gguf_checkpoint(str(file))["config"]
    if content.num_tokens is not None:
        config.setdefault("vocab_size", content.num_tokens)
    if "n_ctx" in config:  # GPT-2's positions, under a name that its configuration no longer has
        config.setdefault("n_positions", config["n_ctx"])
    rope, num_tensors = stored_rope(content.reader, config, where=str(file)), content.head.num_tensors
    if (num_layers := config.get("num_hidden_layers", 0)) > num_tensors:
        raise CheckpointError(
            f"{file}: its metadata claim {counted(num_layers, 'layer')}, and it holds "
            f"{counted(num_tensors, 'tensor')}: they are "
            "of another model, or damaged; convert it again"
        )
    if rope is not None:
        config.pop("rope_theta", None)
        config["rope_parameters"] = rope
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _skeleton(file: Path, config: Mapping[str, Any]) -> Any:
    """The model of `config` on the meta device: the names that the file's tensors get.

    Raises:
        ModelError: there is none; a `CheckpointError` outside `_reading`.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {name: value for name, value in config.items() if name != "model_type"}
    with library_code(str(file), _NO_MODEL), torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(config["model_type"], **settings))


def _require_its_numbers(file: Path, reader: Any, model: Any) -> None:
    """Nothing, if the model of the metadata has as many numbers as the file.

    Raises:
        CheckpointError: it has others.
    """
    parameters = {name: parameter.numel() for name, parameter in model.named_parameters()}
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    buffers = sum(tensor.numel() for name, tensor in model.state_dict().items() if name not in tied)
    stored, expected = _stored_numbers(reader), sum(parameters.values())
    if sum(stored.values()) not in (expected, expected + buffers):
        raise CheckpointError(
            f"{file}: {sum(stored.values())} numbers in {counted(len(stored), 'tensor')}, where the "
            f"{type(model).__name__} of its metadata has {expected}: the metadata are of another model, or "
            "transformers' loader does not know all of this model's tensors; convert it again, or use the "
            "original safetensors"
        )


def _stored_numbers(reader: Any) -> dict[str, int]:
    """Tensor of the file -> how many numbers it holds; without tables of rotary frequencies."""
    return {t.name: int(t.n_elements) for t in reader.tensors if not is_rope_table(t.name)}


def _load(file: Path, model: Any) -> dict[str, Tensor]:
    """Dequantise, rename and reorder as transformers does, without its progress bar."""
    from transformers import modeling_gguf_pytorch_utils as loader

    bar, loader.tqdm = loader.tqdm, lambda tensors, **_settings: tensors
    try:
        loaded: dict[str, Tensor] = loader.load_gguf_checkpoint(
            str(file), return_tensors=True, model_to_load=model, torch_dtype=torch.float32
        )["tensors"]
    finally:
        loader.tqdm = bar
    return loaded


def _check_complete(file: Path, reader: Any, state: Mapping[str, Tensor]) -> None:
    """Every number of the file is in the state: the loader passes over tensors that it does not know.

    Raises:
        CheckpointError: some are not.
    """
    stored = _stored_numbers(reader)
    num_read = sum(tensor.numel() for tensor in state.values())
    if sum(stored.values()) != num_read:
        raise CheckpointError(
            f"{file}: {sum(stored.values())} numbers in {counted(len(stored), 'tensor')}, of which "
            "transformers' loader "
            f"reads {num_read}: it does not know all of this model's tensors"
        )


def _notices(types: Mapping[str, int]) -> tuple[str, ...]:
    found = ", ".join(f"{name} ({counted(number, 'tensor')})" for name, number in sorted(types.items()))
    if set(types) <= _PLAIN:
        return (f"GGUF tensors stored as {found}",) if set(types) - {"F32"} else ()
    noise = "dequantised to float32: the tails of spectra carry quantisation noise"
    return (f"GGUF tensors stored as {found}, {noise}",)
