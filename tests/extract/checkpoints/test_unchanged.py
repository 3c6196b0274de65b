from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.unchanged import check_unchanged
from spectra_cli.extract.protocols import CheckpointHeader, TensorHeader

REF = CheckpointRef(run="r", step=5, uri="/r/step5", format="f")
BEFORE = CheckpointHeader(ref=REF, tensors={}, config={}, fingerprint="f", num_bytes=0, stated_step=5)


def source_of(header):
    return SimpleNamespace(header=lambda ref: header)


def test_the_same_files():
    check_unchanged(source_of(replace(BEFORE, config={"scale": float("nan")})), BEFORE)


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "g"},
        {"stated_step": 6},
        {"tokens_seen": 7},
        {"tensors": {"w": TensorHeader(shape=(2,), dtype=torch.float32)}},
    ],
)
def test_other_files(change):
    with pytest.raises(CheckpointError, match="/r/step5: it changed while it was being read"):
        check_unchanged(source_of(replace(BEFORE, **change)), BEFORE)
