"""Measurements by name, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Sequence

from spectra_cli.core.errors import UsageError
from spectra_cli.extract.measurements.activation_covariance import ACTIVATION_COVARIANCE
from spectra_cli.extract.measurements.gradient_gram import GRADIENT
from spectra_cli.extract.measurements.measurement import Measurement
from spectra_cli.extract.measurements.weight_update import WEIGHT_UPDATE
from spectra_cli.extract.measurements.weights import WEIGHT

MEASUREMENTS: dict[str, Measurement] = {
    "activation_covariance": ACTIVATION_COVARIANCE,
    "gradient": GRADIENT,
    "weight": WEIGHT,
    "weight_update": WEIGHT_UPDATE,
}


def find_measurements(names: Sequence[str]) -> tuple[Measurement, ...]:
    """The measurements called `names`, in registry order.

    Raises:
        UsageError: a name that is not in the registry.
    """
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        raise UsageError(
            f"no measurement is called {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}"
        )
    return tuple(measurement for name, measurement in MEASUREMENTS.items() if name in names)
