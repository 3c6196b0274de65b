import pytest
import torch

from spectra_cli.extract.models.parameters import num_parameters
from spectra_cli.extract.models.registry import find_family


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_tied_parameters_count_once_with_and_without_weights(write, model_type):
    written = write(model_type)
    family = find_family(written.header)
    for state in (written.state, None):
        model = family.build(written.header, state, device=torch.device("cpu"))
        # the file holds a tied matrix once
        assert num_parameters(model) == sum(t.numel() for t in written.state.values())
