from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.archive.writer import write_archive
from spectra_cli.core.types import Scalar, Site
from tests.builders.archives import write_planted_run
from tests.builders.checkpoints import checkpoint
from tests.builders.provenance import provenance
from tests.builders.spectra import spectrum, spectrum_of_rows

STEPS = (0, 100, 200, 400)
EXPONENTS = (0.8, 1.0, 1.2, 1.5)


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """Two runs whose eigenvalues are rank^-exponent but for noise, with exponents that grow."""
    folder = tmp_path_factory.mktemp("figures")
    settings = {"steps": STEPS, "exponents": EXPONENTS, "noise": 0.05, "num_layers": 3, "width": 128}
    losses = np.array([4.0, 3.5, 3.2, 3.0])
    a = write_planted_run(folder / "a.spectra.h5", losses=losses, seed=1, **settings)
    settings["exponents"] = np.add(EXPONENTS, 0.3)
    b = write_planted_run(folder / "b.spectra.h5", losses=losses - 0.1, seed=2, **settings)
    return str(a), str(b)


SITE = "blocks.0.attn.o"


def _scalar(name, value, blocks=16, measurement="gradient_covariance", site=SITE):
    return Scalar(
        name=name,
        site=None if site is None else Site.parse(site),
        measurement=measurement,
        value=value,
        unit="",
        delete_one_block=value * (1 + 0.01 * np.sin(np.arange(blocks))),
        block_sizes=(8,) * blocks,
    )


def _checkpoint(rng, step, made_by, *, larger, spiked):
    """Activations, gradients and weights of one layer; `larger` scales the first directions of the rows."""
    rows = rng.standard_normal((4096, 48)) * np.arange(1, 49) ** -0.7
    gradients = rng.standard_normal((128, 512)) * np.arange(1, 513) ** -0.5
    rows[:, :3] *= larger
    weights = np.linalg.svd(rng.standard_normal((96, 64)), compute_uv=False) ** 2
    weights[:spiked] = weights[0] * np.arange(4, 4 - spiked, -1)
    return checkpoint(
        [
            spectrum_of_rows(rows),
            spectrum_of_rows(gradients, SITE, "gradient_covariance"),
            spectrum(weights, "weight", SITE, num_samples=96, ambient_dim=64),
        ],
        [
            _scalar("probe_loss", 4.0 - 0.005 * step, measurement="probe", site=None),
            _scalar("gradient_signal", 0.5),
            _scalar("gradient_noise", 10.0 + step),
        ],
        step=step,
        provenance=made_by,
        tokens_seen=1000 * step,
        digest=f"{larger}-{step}",
    )


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    """Two runs of one layer with all spectra; B has larger directions and two outliers in its weight."""
    folder = tmp_path_factory.mktemp("full")
    made_by = provenance(num_sequences=128, sequence_length=32, source="val.bin")
    paths = []
    for name, larger, spiked in (("a", 1.0, 0), ("b", 2.0, 2)):
        rng = np.random.default_rng(len(paths))
        found = [_checkpoint(rng, step, made_by, larger=larger, spiked=spiked) for step in (0, 100, 200)]
        write_archive(folder / f"{name}.spectra.h5", found)
        paths.append(str(folder / f"{name}.spectra.h5"))
    return tuple(paths)


@pytest.fixture(scope="session")
def reaching(tmp_path_factory):
    """Steeper tails need fewer tokens: six runs, and one that stops before the target."""
    spread = (0, 100, 200, 400, 800)
    folder, rng, paths = tmp_path_factory.mktemp("forecast"), np.random.default_rng(0), []
    for number in range(7):
        exponent = 0.9 + 0.1 * number
        fast = 1.0 + 0.25 * number + 0.05 * rng.standard_normal()
        losses = 5.0 - 0.9 * np.log1p(np.array(spread) * fast / 100) + (2.0 if number == 6 else 0.0)
        path = folder / f"run{number}.spectra.h5"
        write_planted_run(
            path, steps=spread, losses=losses, exponents=exponent, noise=0.01, width=128, seed=number
        )
        paths.append(str(path))
    return tuple(paths)
