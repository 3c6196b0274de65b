"""A probe is held against the model that it is for, before anything is measured."""

import pytest

from spectra_cli.core.errors import ProbeError, UsageError
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.probe_of_series import read_probe
from spectra_cli.extract.series import open_series

SHORT = ScanSettings(num_sequences=6, num_gradient_sequences=8, sequence_length=10)


@pytest.fixture
def series(write, tmp_path):
    write("llama").module.save_pretrained(tmp_path / "checkpoint-1")
    return open_series(str(tmp_path))


def test_as_many_sequences_as_the_settings_need(series):
    probe = read_probe(series, SHORT, source="synthetic", tokenizer=None, form=None)
    assert probe.tokens.shape == probe.targets.shape == (8, 10)
    assert probe.info.vocab_size <= series.skeleton.vocab_size


def test_a_probe_longer_than_the_models_positions(series):
    with pytest.raises(ProbeError, match="64 positions: use --sequence-length 64"):
        read_probe(series, ScanSettings(sequence_length=65), source="synthetic", tokenizer=None, form=None)


def test_weights_alone_need_no_tokens(series):
    alone = ScanSettings(measurements=("weight",))
    assert read_probe(series, alone, source="", tokenizer=None, form=None).info.num_sequences == 0
    with pytest.raises(UsageError, match="no probe"):
        read_probe(series, SHORT, source="", tokenizer=None, form=None)
