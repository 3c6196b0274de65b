import pytest

from spectra_cli.core.errors import UsageError
from spectra_cli.core.settings import PRESETS, ScanSettings
from spectra_cli.extract.measurements.registry import MEASUREMENTS, measurements_of


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_measurement_goes_by_its_own_name_and_says_what_it_is(name):
    assert MEASUREMENTS[name].name == name
    assert MEASUREMENTS[name].summary


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_ask_for_measurements_that_there_are(preset):
    asked = PRESETS[preset].measurements
    assert [m.name for m in measurements_of(PRESETS[preset])] == [
        name for name in MEASUREMENTS if name in asked
    ]
    assert set(asked) <= set(MEASUREMENTS)


def test_measurements_come_in_registry_order_and_unknown_ones_are_refused():
    asked = ScanSettings(measurements=("weight", "activation_covariance"))
    assert [m.name for m in measurements_of(asked)] == ["activation_covariance", "weight"]
    with pytest.raises(UsageError, match=r"hessian.*there are activation_covariance"):
        measurements_of(ScanSettings(measurements=("hessian",)))


def test_drift_comes_with_vectors_of_weights_and_cannot_be_asked_for():
    asked = ScanSettings(measurements=("weight",), num_vectors=2)
    assert [m.name for m in measurements_of(asked)] == ["weight", "weight_drift"]
    with pytest.raises(UsageError, match="no measurement is called weight_drift; there are"):
        measurements_of(ScanSettings(measurements=("weight_drift",)))
