import pytest

from spectra_cli.core.errors import UsageError
from spectra_cli.core.settings import PRESETS
from spectra_cli.extract.measurements.registry import MEASUREMENTS, find_measurements


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_measurement_goes_by_its_own_name_and_says_what_it_is(name):
    assert MEASUREMENTS[name].name == name
    assert MEASUREMENTS[name].summary


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_ask_for_measurements_that_there_are(preset):
    asked = PRESETS[preset].measurements
    assert [m.name for m in find_measurements(asked)] == [name for name in MEASUREMENTS if name in asked]
    assert set(asked) <= set(MEASUREMENTS)


def test_measurements_come_in_registry_order_and_unknown_ones_are_refused():
    assert [m.name for m in find_measurements(["weight", "activation_covariance"])] == [
        "activation_covariance",
        "weight",
    ]
    with pytest.raises(UsageError, match=r"hessian.*there are activation_covariance"):
        find_measurements(["hessian"])
