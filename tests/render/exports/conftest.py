"""Two archives of one label: all kinds of numbers, withheld and skipped ones, names that are no ASCII."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.types import CheckpointSpectra, Scalar, Site, Skipped, Status
from tests.builders.checkpoints import checkpoint
from tests.builders.spectra import spectrum, weight

STEPS = (0, 7, None)
SKIPPED = (
    Skipped(
        measurement="weight",
        site=Site.parse("blocks.1.mlp.up"),
        status=Status.NONFINITE,
        reason="3 of 64 values are NaN",
    ),
)


def scalars(place: int) -> Iterator[Scalar]:
    """A loss with replicates, and one that is not finite."""
    rng = np.random.default_rng(place)
    yield Scalar(
        name="probe_loss", site=None, measurement="probe", value=3.0 + rng.random(), unit="nats per token",
        delete_one_block=3.0 + rng.random(4), block_sizes=(8, 8, 8, 9),
    )  # fmt: skip
    yield Scalar(
        name="mean_share", site=Site.parse("blocks.0.resid_post"), measurement="activation_covariance",
        value=float("nan"), unit="1", status=Status.NONFINITE,
    )  # fmt: skip


def measured(place: int, name: str) -> CheckpointSpectra:
    """Spectra with and without blocks, of both kinds, of two sizes, and one of zeros."""
    rng = np.random.default_rng([place, len(name)])
    sizes = (8, 8, 8, 9)
    spectra = []
    for layer, width in enumerate((24, 17)):
        values = np.sort(rng.random(width))[::-1]
        address = f"blocks.{layer}.resid_post"
        profile = values * (1 + rng.standard_normal((4, width)) / 9)
        spectra.append(spectrum(values, address=address, block_profile=profile, block_sizes=sizes))
    spectra += [
        weight(np.sort(rng.random(16))[::-1]),
        weight(np.zeros(16), "blocks.1.attn.o"),
        weight([5e-324, 0.0], "lm_head"),
        spectrum(
            [4.0, 1.0, 0.25], "gradient_matrix", "blocks.0.attn.o",
            block_profile=[[5.0, 0.5, 0.25], [3.0, 1.5, 0.25], [4.0, 1.0, 0.25]], block_sizes=(2, 2, 2),
        ),
    ]  # fmt: skip
    info: dict[str, Any] = {"tokens_seen": None, "train_loss": None, "batch_size_tokens": 2**53}
    if place:
        info |= {"tokens_seen": 10**12 + place, "train_loss": 1 / 3, "learning_rate": 5e-5}
    one = checkpoint(
        spectra, tuple(scalars(place)), step=STEPS[place], run=name, digest=f"{name}{place}", **info
    )
    return replace(one, skipped=SKIPPED)


@pytest.fixture(scope="session")
def two_archives(tmp_path_factory) -> Sequence[Path]:
    """`one/a` and `two/a`: told apart by their folders; the second is of a run with an ill name."""
    paths = []
    for folder, run in (("one", "a"), ("two", "=ä\x1b\udcff")):
        path = tmp_path_factory.mktemp("exports") / folder / "a.spectra.h5"
        write_archive(path, [measured(place, run) for place in range(len(STEPS))])
        paths.append(path)
    assert len(open_archive(paths[0])) == len(STEPS)
    return paths
