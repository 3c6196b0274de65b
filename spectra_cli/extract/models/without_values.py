"""The tensors of a checkpoint as its header describes them: names, shapes and dtypes, no values."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from spectra_cli.extract.protocols import TensorHeader

META = torch.device("meta")


def without_values(headers: Mapping[str, TensorHeader]) -> dict[str, Tensor]:
    """Each of these tensors, on the meta device."""
    return {name: torch.empty(one.shape, dtype=one.dtype, device=META) for name, one in headers.items()}
