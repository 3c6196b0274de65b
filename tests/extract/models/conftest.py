"""Loaded models that tests share, and tokens for them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spectra_cli.extract.protocols import Model
from tests.builders.tiny import tiny
from tests.extract.writers.huggingface import VOCAB


@pytest.fixture(scope="session")
def built() -> Callable[[str], Model]:
    """The loaded model of one type; shared by all tests, which leave it as it was."""
    return functools.cache(tiny)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(VOCAB, (3, 7), generator=torch.Generator().manual_seed(1))
