"""Tiny models as their own writers save them, and the headers that the checkpoint formats would give."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.protocols import CheckpointHeader, Model, TensorHeader
from tests.extract.writers.decoder import random_state
from tests.extract.writers.huggingface import CONFIGS, random_model

# Architecture -> variant of the configurable decoder; all others are `model_type`s of transformers.
DECODERS = {"nanogpt": "n", "nanogpt-biases": "nb", "variant-3": "3", "variant-5": "4s", "variant-6": "6"}


class Written(NamedTuple):
    """A model with random weights beside what its folder holds."""

    module: Any
    header: CheckpointHeader
    state: dict[str, Tensor]


def header(config: Mapping[str, Any], state: Mapping[str, Tensor], *, format: str) -> CheckpointHeader:  # noqa: A002
    """What a format would say of these tensors."""
    ref = CheckpointRef(run="tiny", step=5, uri="/runs/tiny/step5", format=format)
    return CheckpointHeader(
        ref=ref,
        tensors={n: TensorHeader(shape=tuple(t.shape), dtype=t.dtype) for n, t in state.items()},
        config=config,
        fingerprint="",
        num_bytes=sum({t.data_ptr(): t.nbytes for t in state.values()}.values()),
        same_values=lambda one, other: torch.equal(state[one], state[other]),
    )


@functools.cache
def written(name: str) -> Written:
    """The model of an entry of `CONFIGS`, saved as `save_pretrained` does: a tied head left out."""
    module = random_model({"model_type": name, **CONFIGS[name]})
    tied = module.get_output_embeddings().weight is module.get_input_embeddings().weight
    state = {n: t.clone() for n, t in module.state_dict().items() if not (tied and n == "lm_head.weight")}
    return Written(
        module, header(json.loads(module.config.to_json_string()), state, format="huggingface"), state
    )


def tiny(name: str, *, edit: Callable[[dict[str, Tensor]], None] | None = None, **sizes: int) -> Model:
    """A fresh model of one architecture; `edit` may change the tensors first."""
    of, state = _saved(name, **sizes)
    if edit is not None:
        edit(state)
    return find_family(of).build(of, state, device=torch.device("cpu"))


def skeleton(name: str, **sizes: int) -> Model:
    """The same on the meta device, without weights."""
    of, _ = _saved(name, **sizes)
    return find_family(of).build(of, None, device=torch.device("meta"))


def _saved(name: str, **sizes: int) -> tuple[CheckpointHeader, dict[str, Tensor]]:
    if name in DECODERS:
        state = random_state(DECODERS[name], **sizes)
        return header({"layout": "spectral-lens", "n_head": 4}, state, format="nanogpt"), state
    saved = written(name)
    return saved.header, {n: t.clone() for n, t in saved.state.items()}
