import pytest

from spectra_cli.extract.probes.registry import PROBES


@pytest.mark.parametrize("name", PROBES)
def test_every_source_says_what_it_is(name):
    assert PROBES[name].summary
    assert all(suffix.startswith(".") for suffix in PROBES[name].suffixes)


def test_a_suffix_belongs_to_one_source():
    suffixes = [suffix for source in PROBES.values() for suffix in source.suffixes]
    assert len(set(suffixes)) == len(suffixes)
