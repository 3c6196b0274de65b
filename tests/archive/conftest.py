"""What it means that two checkpoints are equal, and archives edited behind their digests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spectra_cli.archive.file.seal import seal
from spectra_cli.core.types import CheckpointSpectra, Provenance, Site, Spectrum
from tests.builders.seeded import seeded_checkpoint, seeded_provenance, seeded_spectrum, with_vectors


def plain_values(checkpoint: CheckpointSpectra) -> Any:
    """Everything in a checkpoint as plain values, arrays as their bytes: equal means bit for bit."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return (value.dtype.str, value.shape, value.tobytes())
        if isinstance(value, Site):
            return (value.layer, value.component, value.name)
        if isinstance(value, float):
            return value.hex()
        if hasattr(value, "__dataclass_fields__"):
            return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        return value

    return plain(checkpoint)


@contextmanager
def edited_and_sealed(path: Path) -> Iterator[Any]:
    """An archive open for changes, sealed anew after them: what only the digests can tell."""
    with h5py.File(path, "r+") as root:
        yield root
    seal(path)


@pytest.fixture(scope="session")
def edited() -> Callable[[Path], AbstractContextManager[Any]]:
    return edited_and_sealed


@pytest.fixture
def series() -> list[CheckpointSpectra]:
    return [seeded_checkpoint(step) for step in (0, 5, 10, None)]


@pytest.fixture
def make_checkpoint() -> Callable[..., CheckpointSpectra]:
    return seeded_checkpoint


@pytest.fixture
def make_vectors() -> Callable[[CheckpointSpectra], CheckpointSpectra]:
    return with_vectors


@pytest.fixture
def make_provenance() -> Callable[..., Provenance]:
    return seeded_provenance


@pytest.fixture
def make_spectrum() -> Callable[..., Spectrum]:
    return seeded_spectrum


@pytest.fixture(scope="session")
def as_values() -> Callable[[CheckpointSpectra], Any]:
    return plain_values
