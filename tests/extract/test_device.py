"""The device that a name stands for."""

import pytest
import torch

from spectra_cli.core.errors import UsageError
from spectra_cli.extract.device import choose_device, device_name


def test_every_device_that_can_measure_is_found_by_name():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["meta", "tpu", "cuda:99", "nonsense"])
def test_any_other_name_is_refused(name):
    with pytest.raises(UsageError, match=f"--device {name}"):
        choose_device(name)


def test_the_archive_names_the_processor():
    assert device_name(torch.device("cpu")).startswith("cpu (")
