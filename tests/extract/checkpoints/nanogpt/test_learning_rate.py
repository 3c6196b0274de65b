import pytest
import torch

from spectra_cli.extract.checkpoints.nanogpt.learning_rate import stored_learning_rate
from spectra_cli.extract.checkpoints.nanogpt.payload import Payload


def optimizer(*rates):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return torch.optim.AdamW(groups).state_dict()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"optimizer": optimizer(6e-4, 6e-4)}, 6e-4),  # nanoGPT: with and without weight decay
        ({"optimizer": optimizer(6e-4, 3e-4)}, None),
        ({"optimizers": [optimizer(6e-4), optimizer(6e-4)]}, 6e-4),
        ({"optimizers": [optimizer(6e-4), optimizer(0.02)]}, None),  # Muon beside AdamW
        ({"optimizer": {"adam": optimizer(0.5)}}, 0.5),
        ({"optimizer": {"param_groups": [{"lr": float("nan")}, {}, 3]}}, None),
        ({"optimizer": None}, None),
        ({}, None),
    ],
)
def test_the_rate_is_that_of_all_groups_or_none(content, expected):
    payload = Payload(layout="nanogpt", file_family="", state={}, step=1, content=content)
    assert stored_learning_rate(payload) == expected
