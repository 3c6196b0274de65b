from pathlib import Path

import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.state_dicts import tensor_bytes, tensors_of


def test_parameters_become_tensors_and_ties_stay(tmp_path):
    weight = torch.nn.Parameter(torch.ones(3, 4))
    (tmp_path / "f.bin").write_bytes(bytes(48))
    state = tensors_of({"a": weight, "b": weight}, tmp_path / "f.bin")
    assert not state["a"].requires_grad
    assert state["a"].data_ptr() == state["b"].data_ptr()
    assert tensor_bytes(state) == 3 * 4 * 4


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ([torch.ones(2)], "list"),
        ({}, "an empty dict"),
        ({"w": torch.ones(2), "step": 3}, r"'step' \(int\)"),
        ({"w": torch.ones(2, 2).to_sparse()}, r"'w' \(Tensor\)"),
        ({"w": torch.ones(2, device="meta")}, r"'w' \(Tensor\)"),
    ],
)
def test_anything_else_is_refused(payload, found):
    with pytest.raises(CheckpointError, match=found):
        tensors_of(payload, Path("f.bin"))


def test_one_stored_number_does_not_pass_for_more_than_the_file_holds(tmp_path):
    path = tmp_path / "f.bin"
    spread = torch.ones(1).expand(2**40)
    torch.save({"w": spread}, path)
    with pytest.raises(CheckpointError, match=r"f\.bin: w of shape \(1099511627776,\) claims 4398046511104"):
        tensors_of({"w": spread}, path)
    assert tensors_of({"w": torch.ones(1).expand(20)}, path)["w"].sum() == 20
    many = {f"w{i}": torch.ones(1).expand(100) for i in range(30)}
    with pytest.raises(CheckpointError, match=r"its 30 tensors claim 12000 bytes in a file"):
        tensors_of(many, path)
