"""A probe is held against the model that it is for, before anything is measured."""

import numpy as np
import pytest

from spectra_cli.core.errors import ProbeError, UsageError
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.series.opened import open_series
from spectra_cli.extract.series.probe import read_probe

SHORT = ScanSettings(num_sequences=6, num_gradient_sequences=8, sequence_length=10)


@pytest.fixture
def series(write, tmp_path):
    write("llama").module.save_pretrained(tmp_path / "checkpoint-1")
    return open_series(str(tmp_path))


def test_as_many_sequences_as_the_settings_need(series):
    probe = read_probe(series, ScanRequest(checkpoints="run", settings=SHORT, probe="synthetic")).probe
    assert probe.tokens.shape == probe.targets.shape == (8, 10)
    assert probe.info.vocab_size <= series.skeleton.vocab_size


def test_a_probe_longer_than_the_models_positions(series):
    with pytest.raises(ProbeError, match="64 positions: use --sequence-length 64"):
        read_probe(
            series,
            ScanRequest(checkpoints="run", settings=ScanSettings(sequence_length=65), probe="synthetic"),
        )


def test_weights_alone_need_no_tokens(series):
    alone = ScanSettings(measurements=("weight",))
    assert (
        read_probe(series, ScanRequest(checkpoints="run", settings=alone, probe="")).probe.info.num_sequences
        == 0
    )
    with pytest.raises(UsageError, match="no probe"):
        read_probe(series, ScanRequest(checkpoints="run", settings=SHORT, probe=""))


def test_a_default_longer_than_the_models_positions_gives_way(series):
    counts = ScanSettings(num_sequences=6, num_gradient_sequences=8)
    ready = read_probe(series, ScanRequest(checkpoints="run", settings=counts, probe="synthetic"))
    assert ready.probe.tokens.shape == (8, 64)
    assert ready.settings.sequence_length == ready.probe.info.sequence_length == 64
    (notice,) = ready.notices
    assert notice.startswith("sequences are of 64 tokens, where 1024 is the default: this LlamaForCausalLM")
    assert notice in ready.probe.info.notices


def test_defaults_take_the_sequences_that_the_probe_has(series, tmp_path):
    np.save(tmp_path / "probe.npy", np.zeros((40, 11), dtype=np.int32))
    source = str(tmp_path / "probe.npy")
    ready = read_probe(series, ScanRequest(checkpoints="run", settings=ScanSettings(), probe=source))
    assert ready.probe.tokens.shape == (40, 10)
    settings = ready.settings
    assert (settings.num_sequences, settings.num_gradient_sequences, settings.sequence_length) == (40, 40, 10)
    length, count = ready.notices
    assert length.startswith("sequences are of 10 tokens, where 1024 is the default: ")
    assert count.startswith(
        "activations and gradients: 40 sequences are measured, where 512 is the default: "
    )
    few = read_probe(
        series,
        ScanRequest(
            checkpoints="run", settings=ScanSettings(num_sequences=20, sequence_length=10), probe=source
        ),
    )
    assert (few.settings.num_sequences, few.settings.num_gradient_sequences) == (20, 40)
    (count,) = few.notices
    assert count.startswith("gradients: 40 sequences are measured, where 512 is the default: ")
    alone = ScanSettings(measurements=("activation_covariance",))
    assert (
        read_probe(
            series, ScanRequest(checkpoints="run", settings=alone, probe=source)
        ).settings.num_gradient_sequences
        == 512
    )


@pytest.mark.parametrize("name", ["num_sequences", "num_gradient_sequences", "num_blocks", "sequence_length"])
def test_what_was_asked_for_is_refused(series, tmp_path, name):
    np.save(tmp_path / "probe.npy", np.zeros((40, 11), dtype=np.int32))
    with pytest.raises(ProbeError):
        read_probe(
            series,
            ScanRequest(
                checkpoints="run", settings=ScanSettings(**{name: 41}), probe=str(tmp_path / "probe.npy")
            ),
        )
