"""The activation function of a model's blocks: which it is, what goes through it, what memory it takes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from spectra_cli.extract.protocols import Model

# In units of a layer's hidden values (B T H): gradients of its steps and holes in the heap, of one layer at a
# time. Measured on 1 to 8 layers of GPT-2 with GPT-2's own and the fast GELU: 3 to 5.
_BACKWARD = 6
# Modules of these packages are functions, if they hold nothing.
_PACKAGES = ("transformers.activations", "torch.nn.modules.activation")


def activation_of(model: Model) -> Callable[[Tensor], Tensor]:
    """The activation function of the model's blocks, where it is a module of its own; else ReLU squared."""
    return _activation(model) or (lambda values: nn.functional.relu(values).square())


def hidden_features(model: Model) -> float:
    """Values a token that go through an activation function, in all blocks."""
    ups = [view for view in model.matrices if view.site.component == "mlp.up"]
    experts = [v for v in model.matrices if v.expert is not None and v.site.component.endswith(".up")]
    found = sum(view.share * view.shape[0] for view in ups + experts)
    return float(found or 4 * model.width * len(model.blocks))


def activation_bytes(model: Model, length: int, width: int) -> int:
    """Bytes for one sequence of `length` tokens that backward takes through a function of several steps.

    Each step's values are kept for it, in every layer. 0 where the function is one fused call, whose input
    and output the linear maps beside it keep anyway, or no module of its own.

    Args:
        model: its function is called on a few values; of its layers only sizes are read.
        length: T.
        width: bytes a value.
    """
    function = _activation(model)
    steps = 0 if function is None else _steps_kept(function)
    if not steps:
        return 0
    features = hidden_features(model)
    return int(length * width * (steps * features + _BACKWARD * features / len(model.blocks)))


def _activation(model: Model) -> nn.Module | None:
    for block in model.blocks:
        for module in block.modules():
            holds = any(True for _ in (*module.children(), *module.parameters()))
            if type(module).__module__ in _PACKAGES and not holds:
                return module
    return None


def _steps_kept(function: nn.Module) -> int:
    """How many tensors of the input's size it keeps for backward, its input and output aside."""
    values = torch.zeros(64, requires_grad=True)
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = function(values)
    places = {tensor.data_ptr() for tensor in kept if tensor.numel() == values.numel()}
    return len(places - {values.data_ptr(), output.data_ptr()})
