"""What a scan of a checkpoint must find, by the slow way: its writer's own model in float64.

Sequences go one at a time through the writer's forward and plain autograd; gradients are stacked whole,
covariances take two passes. Nothing of the package takes part.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Parameters = Mapping[str, Tensor]
# Outputs of a fused projection -> q, k, v; or gate, up.
Cut = Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True, kw_only=True, eq=False)
class WritersModel:
    """A model as the program that wrote its checkpoint runs it.

    Attributes:
        parameters: float64 leaves, by the names that the scan shows.
        forward: ids (T,) -> logits (T, V) and the residual stream after each block, (T, D) each.
        transposed: names of weights stored as fan_in x fan_out.
        cuts: component -> how to cut the fused matrix that it lies in, and which piece it is.
        expert_of: finds an expert's matrix where the name ends in `[expert]`.
        before: the same parameters before an adapter changed them; empty for all other checkpoints.
    """

    parameters: Parameters
    forward: Callable[[Tensor], tuple[Tensor, Sequence[Tensor]]]
    transposed: frozenset[str] = frozenset()
    cuts: Mapping[str, tuple[Cut, int]] = field(default_factory=dict)
    expert_of: Callable[[Parameters, Any], Tensor] | None = None
    before: Parameters = field(default_factory=dict)

    def matrix(self, tensors: Parameters, site: Any) -> Tensor:
        """The matrix of a site as fan_out x fan_in, in tensors laid out as the parameters."""
        if site.name not in tensors:
            assert self.expert_of is not None, site
            return self.expert_of(tensors, site)
        stored = tensors[site.name]
        matrix = stored.T if site.name in self.transposed else stored
        if site.component not in self.cuts:
            return matrix
        cut, piece = self.cuts[site.component]
        return cut(matrix)[piece]


class Truth:
    """Logits, residual streams and gradients of every sequence of a probe."""

    def __init__(self, model: WritersModel, tokens: Tensor, targets: Tensor, *, num_gradients: int) -> None:
        self.model = model
        leaves = dict(model.parameters)
        logits, streams, self.losses, self.gradients = [], [], [], []
        for number, (ids, wanted) in enumerate(zip(tokens, targets, strict=True)):
            found, hidden = model.forward(ids)
            loss = functional.cross_entropy(found, wanted)
            if number < num_gradients:
                grads = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
                self.gradients.append(dict(zip(leaves, grads, strict=True)))
            logits.append(found.detach())
            streams.append(torch.stack([rows.detach() for rows in hidden]))
            self.losses.append(loss.item())
        self.logits, self.streams = torch.stack(logits), torch.stack(streams, 1)

    def covariance_eigenvalues(self, layer: int) -> Tensor:
        """Of the covariance of the residual stream's rows, each of unit root mean square."""
        rows = self.streams[layer].flatten(0, 1)
        rows = rows / torch.sqrt(rows.square().mean(-1, keepdim=True) + 1e-6)
        centred = rows - rows.mean(0)
        return torch.linalg.eigvalsh(centred.T @ centred / (len(rows) - 1)).flip(0)

    def _stack(self, site: Any) -> Tensor:
        return torch.stack([self.model.matrix(one, site).flatten() for one in self.gradients])

    def gradient_singular_values(self, site: Any) -> Tensor:
        """Of the gradients of all sequences, a row each."""
        return torch.linalg.svdvals(self._stack(site))

    def gradient_eigenvalues(self, site: Any) -> Tensor:
        """Of their covariance over sequences, as many as there are sequences."""
        stack = self._stack(site)
        return torch.linalg.svdvals(stack - stack.mean(0)).square() / (len(stack) - 1)

    def weight_singular_values(self, site: Any) -> Tensor:
        """Of the matrix itself."""
        return torch.linalg.svdvals(self.model.matrix(self.model.parameters, site).detach())

    def update_singular_values(self, site: Any) -> Tensor:
        """Of what an adapter added to the matrix."""
        after = self.model.matrix(self.model.parameters, site).detach()
        return torch.linalg.svdvals(after - self.model.matrix(self.model.before, site).detach())


def of_module(module: nn.Module, **changes: Any) -> WritersModel:
    """A model of transformers as it is, in float64; its blocks are the first list of modules in it."""
    module = copy.deepcopy(module).double().requires_grad_(True)
    if hasattr(module, "set_experts_implementation"):
        module.set_experts_implementation("eager")  # the grouped products know no float64
    blocks = next(m for m in module.modules() if isinstance(m, nn.ModuleList))

    def forward(ids: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        hidden: list[Tensor] = []
        hooks = [
            block.register_forward_hook(
                lambda _m, _a, out: hidden.append((out if isinstance(out, Tensor) else out[0])[0])
            )
            for block in blocks
        ]
        logits = module(input_ids=ids[None], use_cache=False).logits[0]
        for hook in hooks:
            hook.remove()
        return logits, hidden

    conv1d = {f"{name}.weight" for name, m in module.named_modules() if type(m).__name__ == "Conv1D"}
    return WritersModel(
        parameters=dict(module.named_parameters()),
        forward=forward,
        transposed=frozenset(conv1d),
        **changes,
    )


def loaded(module: nn.Module, state: Parameters) -> nn.Module:
    """A copy of the module with the tensors that a lossy file holds."""
    twin = copy.deepcopy(module)
    twin.load_state_dict(dict(state))
    return twin


def of_equations(
    tensors: Parameters, forward: Callable[[Parameters, Tensor, list[Tensor]], Tensor], **changes: Any
) -> WritersModel:
    """A model written out: `forward` gives the logits and notes the stream after each block.

    Tensors that are one object stay one.
    """
    own: dict[int, Tensor] = {id(t): t.double().requires_grad_() for t in tensors.values()}
    every = {name: own[id(tensor)] for name, tensor in tensors.items()}
    # a tied matrix under its first name, as `named_parameters` has it
    leaves = {name: leaf for name, leaf in every.items() if name == _first_name(every, leaf)}

    def run(ids: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        streams: list[Tensor] = []
        return forward(every, ids, streams), streams

    return WritersModel(parameters=leaves, forward=run, **changes)


def _first_name(tensors: Parameters, leaf: Tensor) -> str:
    return next(name for name, tensor in tensors.items() if tensor is leaf)
