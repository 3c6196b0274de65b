from __future__ import annotations

import numpy as np
import pytest

from tests.builders.archives import write_planted_run

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
