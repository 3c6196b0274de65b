"""Measurements by name, in the order in which they are made."""

from __future__ import annotations

from spectra_cli.core.errors import UnknownNameError
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.extract.measurements.activation_covariance import ACTIVATION_COVARIANCE
from spectra_cli.extract.measurements.gradient_gram import GRADIENT
from spectra_cli.extract.measurements.measurement import Measurement
from spectra_cli.extract.measurements.weight_drift import WEIGHT_DRIFT
from spectra_cli.extract.measurements.weight_update import WEIGHT_UPDATE
from spectra_cli.extract.measurements.weights import WEIGHT

MEASUREMENTS: dict[str, Measurement] = {
    measurement.name: measurement
    for measurement in (ACTIVATION_COVARIANCE, GRADIENT, WEIGHT, WEIGHT_DRIFT, WEIGHT_UPDATE)
}


def measurements_of(settings: ScanSettings) -> tuple[Measurement, ...]:
    """What a scan with these settings measures, in registry order.

    Raises:
        UsageError: a name that is not in the registry, or that other settings bring.
    """
    names = [name for name, measurement in MEASUREMENTS.items() if measurement.comes_with is None]
    unknown = [name for name in settings.measurements if name not in names]
    if unknown:
        meant = "" if unknown[0] in MEASUREMENTS else did_you_mean(unknown[0], names)
        raise UnknownNameError(
            f"no measurement is called {', '.join(unknown)}{meant}; there are {', '.join(names)}"
        )
    return tuple(measurement for measurement in MEASUREMENTS.values() if measurement.is_asked_by(settings))
