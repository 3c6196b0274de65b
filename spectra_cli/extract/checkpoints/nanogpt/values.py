"""What a few stored numbers of a nanoGPT-style model show of its decoder, where names and shapes do not.

They are read with the header, so that what a scan will find is known before it: two numbers a layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

# how the names of these tensors end, whatever wrappers put before them
ENDING = ".attn.mix"
_MIX = re.compile(r"(?:transformer\.h|blocks)\.(\d{1,9})\.attn\.mix")


def value_weights(state: Mapping[str, Tensor]) -> dict[int, float]:
    """Layer -> attn.mix[1], the weight of its value embedding; of the layers that have such."""
    layers = {int(m[1]): tensor for name, tensor in state.items() if (m := _MIX.fullmatch(name))}
    return {layer: float(tensor[1]) for layer, tensor in layers.items() if tensor.shape == (2,)}
