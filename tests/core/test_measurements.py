"""The one table of what an archive may hold."""

from spectra_cli.core.measurements import ASKED, EXACT, MEASUREMENTS, PROBED, SCANNED
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.measurements.registry import MEASUREMENTS as MEASURED
from spectra_cli.statistics.registry import STATISTICS


def test_words_and_titles_are_those_of_one_kind():
    for words in ("asked", "words", "title"):
        said = [getattr(kind, words) for kind in MEASUREMENTS.values()]
        assert len(set(said)) == len(said)


def test_every_scan_measurement_is_asked_for_by_one_word_and_makes_a_kind():
    by_name = {name for name, measurement in MEASURED.items() if measurement.comes_with is None}
    assert set(SCANNED.values()) == by_name
    assert set(MEASURED) == {kind.made_by for kind in MEASUREMENTS.values()}
    assert set(SCANNED) <= set(ASKED)


def test_what_counts_the_samples_is_a_setting_and_exact_kinds_have_none():
    settings = ScanSettings().as_json()
    assert all(MEASUREMENTS[name].samples in settings for name in PROBED)
    assert {*EXACT, *PROBED} == set(MEASUREMENTS)
    assert EXACT == ("weight", "weight_update", "weight_drift")


def test_statistics_are_of_kinds_that_there_are():
    for statistic in STATISTICS.values():
        assert set(statistic.measurements) <= set(MEASUREMENTS)
        assert set(statistic.compared) <= set(statistic.measurements)
