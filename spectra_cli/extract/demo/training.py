"""Tiny training runs on the banded task, which leave checkpoint folders as real runs do.

The model is the untied-embedding decoder of the Spectral Lens toy ladder: RoPE, QK norm, embedding
norm, squared-ReLU MLP of twice the width, head and output projections zero at the start.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from spectra_cli.core.errors import UnknownNameError
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.extract.demo.optimizers import Muon
from spectra_cli.extract.demo.settings import DemoSettings, draw_splits
from spectra_cli.extract.models.decoder.config import FLOAT32_EPS, DecoderConfig
from spectra_cli.extract.models.decoder.module import Decoder

PROBE_NAME = "probe.npy"
_MUON_LR_FACTOR = 50.0  # Muon's steps have unit singular values, AdamW's are per entry
_TIED_SCALE = 0.02  # of an embedding that is the head too: its first logits must be small
_KERNELS = {
    "fused": [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
    "math": [SDPBackend.MATH],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """What a run left behind.

    Attributes:
        folder: with `checkpoint_step*.pt` and `args.json`.
        probe: the validation sequences (N, T + 1) as `.npy`, the same for both recipes.
        validation_losses: saved step -> nats per token of the weights as they were saved.
    """

    folder: Path
    probe: Path
    validation_losses: Mapping[int, float]


def _adamw(model: Decoder, lr: float) -> list[torch.optim.Optimizer]:
    return [torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)]


def _muon(model: Decoder, lr: float) -> list[torch.optim.Optimizer]:
    matrices = list(model.transformer["h"].parameters())
    in_blocks = {id(matrix) for matrix in matrices}
    others = [parameter for parameter in model.parameters() if id(parameter) not in in_blocks]
    return [
        torch.optim.AdamW(others, lr=lr, weight_decay=0.01),
        Muon(matrices, lr=_MUON_LR_FACTOR * lr),
    ]


RECIPES: Mapping[str, Callable[[Decoder, float], list[torch.optim.Optimizer]]] = {
    "adamw": _adamw,
    "muon": _muon,
}


def train_run(
    folder: Path,
    *,
    recipe: str,
    settings: DemoSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedRun:
    """Train one run and save its checkpoints; the same settings give the same tensors again.

    Both recipes start from the same weights and see the same batches.

    Args:
        folder: made if needed; files of the same name are replaced, each in one move.
        recipe: a name in `RECIPES`.
        progress: called with (steps done, steps in all) after each step.

    Raises:
        UsageError: an unknown recipe.
    """
    if recipe not in RECIPES:
        meant = did_you_mean(recipe, RECIPES)
        raise UnknownNameError(f"there is no recipe {recipe!r}{meant}; recipes: {', '.join(RECIPES)}")
    settings = settings or DemoSettings()
    folder.mkdir(parents=True, exist_ok=True)
    train, validation = (
        torch.from_numpy(split)
        for split in draw_splits(
            settings.task, seed=settings.data_seed, sizes=(settings.num_train, settings.num_validation)
        )
    )
    _replace(folder / PROBE_NAME, lambda file: np.save(file, validation.numpy().astype(np.int32)))
    _replace(
        folder / "args.json",
        lambda file: file.write(json.dumps(_arguments(recipe, settings), indent=2).encode()),
    )

    model = _initial_model(settings)
    optimizers = RECIPES[recipe](model, settings.lr)
    batches = np.random.default_rng(settings.seed + 11)
    losses = {}
    with _one_thread(), sdpa_kernel(_KERNELS[settings.attention_kernel]):
        for step in range(settings.num_steps + 1):
            if step in settings.save_steps:
                losses[step] = _save_checkpoint(folder, step, model, optimizers, validation, settings)
            if step == settings.num_steps or _reached(losses.get(step), settings.target_loss):
                break
            rows = batches.integers(len(train), size=settings.batch_size)
            _loss(model(train[rows][:, :-1]), train[rows]).backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            if progress is not None:
                progress(step + 1, settings.num_steps)
    return TrainedRun(folder=folder, probe=folder / PROBE_NAME, validation_losses=losses)


def is_trained(folder: Path, *, recipe: str, settings: DemoSettings | None = None) -> bool:
    """Whether `folder` holds this very run, trained to its end: its arguments and all its checkpoints."""
    settings = settings or DemoSettings()
    arguments = folder / "args.json"
    if not arguments.is_file() or json.loads(arguments.read_text()) != _arguments(recipe, settings):
        return False
    for step in sorted(settings.save_steps):
        path = folder / _checkpoint_name(step)
        if not path.is_file():
            return False
        loss = torch.load(path, weights_only=True, mmap=True)["val_loss"]
        if _reached(loss, settings.target_loss):
            return True
    return settings.num_steps <= max(settings.save_steps)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices this small gain nothing from a second core, and lose much where it is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _initial_model(settings: DemoSettings) -> Decoder:
    config = DecoderConfig(
        n_layer=settings.n_layer,
        n_head=settings.n_head,
        n_embd=settings.n_embd,
        vocab_size=settings.task.vocab_size,
        mlp_width=2 * settings.n_embd,
        num_positions=None,
        rope_dir="+",
        rope_table_dtype=None,
        fused_qkv=False,
        qk_norm=True,
        norm="rms",
        norm_bias=False,
        qkv_bias=False,
        attn_proj_bias=False,
        mlp_bias=False,
        activation="relu_squared",
        tied=settings.tied,
        embed_norm=True,
        norm_eps=FLOAT32_EPS,
        qk_norm_eps=FLOAT32_EPS,
    )
    # on the meta device, so that nothing is drawn from the caller's global generator
    with torch.device("meta"):
        model = Decoder(config)
    model.to_empty(device="cpu")
    model.tie()
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name == "transformer.wte.weight":
                weight.normal_(std=_TIED_SCALE if settings.tied else 1.0, generator=generator)
            elif name == "lm_head.weight" or ".c_proj." in name:
                weight.zero_()
            else:
                bound = 1 / math.sqrt(weight.shape[1])
                weight.uniform_(-bound, bound, generator=generator)
    return model


def _loss(logits: Tensor, sequences: Tensor) -> Tensor:
    """Mean next-token cross-entropy in nats of sequences (B, T + 1), from logits (B, T, V)."""
    return functional.cross_entropy(logits.flatten(0, 1), sequences[:, 1:].flatten())


def _arguments(recipe: str, settings: DemoSettings) -> dict[str, Any]:
    """`args.json`: what the tensors do not say, under the names that NanoGPT-style trainers use."""
    length = settings.task.sequence_length
    return {
        "n_layer": settings.n_layer,
        "n_head": settings.n_head,
        "n_embd": settings.n_embd,
        "vocab_size": settings.task.vocab_size,
        "sequence_length": length,
        "batch_size": settings.batch_size,
        "total_batch_size": settings.batch_size * length,  # in tokens
        "lr": settings.lr,
        "optimizer": recipe,
        "tied": settings.tied,
        "embed_norm": True,
        "attention_kernel": settings.attention_kernel,
        "seed": settings.seed,
        "data_seed": settings.data_seed,
        "max_steps": settings.num_steps,
        "qk_norm_eps": FLOAT32_EPS,
        "dtype": "float32",
        "stored_dtype": settings.stored_dtype,
    }


@torch.no_grad()
def _save_checkpoint(
    folder: Path,
    step: int,
    model: Decoder,
    optimizers: list[torch.optim.Optimizer],
    validation: Tensor,
    settings: DemoSettings,
) -> float:
    """Write the checkpoint of a step; its validation loss, of the weights as they are written."""
    dtype = getattr(torch, settings.stored_dtype)
    rounded = {name: weight.to(dtype).float() for name, weight in model.named_parameters()}
    val_loss = float(_loss(functional_call(model, rounded, (validation[:, :-1],)), validation))
    content = {
        "step": step,
        "model": {name: weight.to(dtype) for name, weight in model.state_dict().items()},
        "optimizers": [_stored(optimizer, whole=settings.save_optimizers) for optimizer in optimizers],
        "val_loss": val_loss,
        # of these very weights; other trainers of this layout store an earlier step's loss
        "val_loss_step": step,
    }
    _replace(folder / _checkpoint_name(step), lambda file: torch.save(content, file))
    return val_loss


def _stored(optimizer: torch.optim.Optimizer, *, whole: bool) -> dict[str, Any]:
    """The state dict, or its settings alone: the learning rate is read from them."""
    return optimizer.state_dict() if whole else {**optimizer.state_dict(), "state": {}}


def _checkpoint_name(step: int) -> str:
    return f"checkpoint_step{step:06d}.pt"


def _reached(loss: float | None, target: float | None) -> bool:
    return loss is not None and target is not None and loss <= target


def _replace(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file beside `path` and move it there whole."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        write(file)
    os.replace(temporary, path)
