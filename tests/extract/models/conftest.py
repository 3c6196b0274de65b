"""Tiny models as their own writers save them, and the headers that the checkpoint formats would give."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.protocols import CheckpointHeader, Model, TensorHeader
from tests.extract.writers.decoder import random_state
from tests.extract.writers.huggingface import CONFIGS, VOCAB, random_model


class Written(NamedTuple):
    """A model with random weights beside what its folder holds."""

    module: Any
    header: CheckpointHeader
    state: dict[str, Tensor]


def make_header(config: Mapping[str, Any], state: Mapping[str, Tensor], *, format: str) -> CheckpointHeader:  # noqa: A002
    ref = CheckpointRef(run="tiny", step=5, uri="/runs/tiny/step5", format=format)
    return CheckpointHeader(
        ref=ref,
        tensors={n: TensorHeader(shape=tuple(t.shape), dtype=t.dtype) for n, t in state.items()},
        config=config,
        fingerprint="",
        num_bytes=sum({t.data_ptr(): t.nbytes for t in state.values()}.values()),
        same_values=lambda one, other: torch.equal(state[one], state[other]),
    )


@pytest.fixture(scope="session")
def header_of() -> Callable[..., CheckpointHeader]:
    return make_header


@pytest.fixture(scope="session")
def write() -> Callable[..., Written]:
    """The model of an entry of `CONFIGS`, saved as `save_pretrained` does: a tied head left out."""

    @functools.cache
    def written(name: str) -> Written:
        module = random_model({"model_type": name, **CONFIGS[name]})
        tied = module.get_output_embeddings().weight is module.get_input_embeddings().weight
        state = {n: t.clone() for n, t in module.state_dict().items() if not (tied and n == "lm_head.weight")}
        saved = json.loads(module.config.to_json_string())
        return Written(module, make_header(saved, state, format="huggingface"), state)

    return written


@pytest.fixture(scope="session")
def built(write: Callable[..., Written]) -> Callable[[str], Model]:
    """The loaded model of one type; shared by all tests, which leave it as it was."""
    from spectra_cli.extract.models.registry import find_family

    @functools.cache
    def model(model_type: str) -> Model:
        written = write(model_type)
        return find_family(written.header).build(written.header, written.state, device=torch.device("cpu"))

    return model


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(VOCAB, (3, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def decoder_state() -> Callable[..., dict[str, Tensor]]:
    """Random tensors under the names and shapes of one early variant."""
    return random_state
