"""Sizes and choices of a tiny training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from spectra_cli.extract.demo.task import BandedTask


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """What a run is; the defaults take seconds on a laptop and keep the task's properties.

    Attributes:
        task, data_seed: runs of equal ones share their sequences, validation sequences included.
        num_train, num_validation: sequences.
        n_layer, n_head, n_embd: sizes of the decoder; its MLP is twice as wide.
        tied: whether the head is the token embedding, which then starts small.
        batch_size: sequences a step; lr: constant.
        num_steps: at most; target_loss: ends the run at the first saved step whose validation loss is not
            above it.
        save_steps: when to save a checkpoint.
        attention_kernel: `fused`, or torch's `math`: the same function with other roundings.
        stored_dtype: of the weights in the checkpoints.
        save_optimizers: whether checkpoints hold the optimisers' states, or only their settings.
        seed: of the first weights and of the order of the batches.
    """

    task: BandedTask = field(default_factory=BandedTask)
    num_train: int = 4000
    num_validation: int = 2048
    data_seed: int = 0
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 64
    tied: bool = False
    batch_size: int = 64
    lr: float = 1e-3
    num_steps: int = 300
    target_loss: float | None = None
    save_steps: tuple[int, ...] = (0, 25, 50, 100, 200, 300)
    attention_kernel: Literal["fused", "math"] = "fused"
    stored_dtype: Literal["float32", "bfloat16"] = "float32"
    save_optimizers: bool = True
    seed: int = 0
