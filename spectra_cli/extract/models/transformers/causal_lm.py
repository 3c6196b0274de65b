"""A transformers causal language model cut where its head begins, and the proof that the halves add up.

The head is the model's own forward with the decoder replaced by a stub that returns a given hidden
state. So whatever the class does to its logits (soft-caps, scales) is done exactly, for any class.
Shape suffixes: B sequences, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.protocols import Model

# float32 rounding of one matrix product; the two paths run the same operations
_LOGIT_TOLERANCE = 1e-5
# the same products in another order, where a fused kernel splits work by length
_CAUSAL_TOLERANCE = 1e-4
NUM_TOKENS = 4


def cut(module: Any) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """`trunk`, tokens (B, T) -> hidden (B, T, D) after the final norm, and `head`, hidden (..., D) ->
    logits (..., V). Both run the module's own parameters and hooks.
    """
    decoder = module.get_decoder()
    shell = _without(module, decoder)

    def trunk(tokens: Tensor) -> Tensor:
        hidden: Tensor = decoder(input_ids=tokens, use_cache=False).last_hidden_state
        return hidden

    def head(hidden: Tensor) -> Tensor:
        batched = hidden if hidden.ndim == 3 else hidden.reshape(1, -1, hidden.shape[-1])
        logits: Tensor = shell(inputs_embeds=batched, use_cache=False).logits
        return logits.reshape(*hidden.shape[:-1], logits.shape[-1])

    return trunk, head


def check(model: Model, *, whole: Callable[[Tensor], Tensor] | None = None) -> None:
    """Prove on four tokens that the cut model is the whole model, and that it can be measured.

    Args:
        whole: tokens (B, T) -> logits of the whole module; None for a transformers model.

    Raises:
        ModelError: head(trunk(x)) differs from the module's logits; a block returns no residual stream
            of the model's width; later tokens change earlier positions.
    """
    check_head(model, whole=whole)
    check_blocks(model)
    check_causal(model)


def check_head(model: Model, *, whole: Callable[[Tensor], Tensor] | None = None) -> None:
    """head(trunk(x)) equals the logits of the whole module, to 1e-5 of the largest.

    Raises:
        ModelError: it does not.
    """
    tokens = _four_tokens(model)
    with torch.inference_mode():
        expected = (
            whole(tokens) if whole is not None else model.module(input_ids=tokens, use_cache=False).logits
        )
        found = model.head(model.trunk(tokens))
    error = _relative_error(found, expected)
    if error > _LOGIT_TOLERANCE:
        remedy = "return `trunk` and `head`, or a `loss`, beside the module"
        remedy = "it cannot be scanned" if whole is None else remedy
        raise ModelError(
            f"{model.architecture}: its head could not be told from its trunk: logits of the two halves "
            f"differ from the whole model's by {error:.1e} of the largest; {remedy}"
        )


def check_blocks(model: Model) -> None:
    """Each block returns (B, T, D), alone or first in a tuple.

    Raises:
        ModelError: another shape.
    """
    shapes: list[tuple[int, ...]] = []

    def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
        stream = output[0] if isinstance(output, tuple) else output
        shapes.append(tuple(stream.shape) if isinstance(stream, Tensor) else ())

    handles = [block.register_forward_hook(note) for block in model.blocks]
    try:
        with torch.inference_mode():
            model.trunk(_four_tokens(model))
    finally:
        for handle in handles:
            handle.remove()
    expected = [(1, NUM_TOKENS, model.width)] * len(model.blocks)
    if shapes != expected:
        raise ModelError(
            f"{model.architecture}: its blocks return {shapes}, expected {len(expected)} residual streams "
            f"of shape {expected[0]}; this architecture cannot be scanned"
        )


def check_causal(model: Model) -> None:
    """Another last token changes no earlier position.

    Raises:
        ModelError: it does: no decoder.
    """
    tokens = _four_tokens(model)
    other = tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % model.vocab_size
    with torch.inference_mode():
        before, after = model.trunk(tokens)[:, :-1], model.trunk(other)[:, :-1]
    if _relative_error(after, before) > _CAUSAL_TOLERANCE:
        raise ModelError(
            f"{model.architecture}: later tokens change earlier positions: not a decoder; "
            "only causal language models are scanned"
        )


class _Hidden(nn.Module):
    """Stands where the decoder stood and returns what it is given; its attributes are the decoder's."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        # not as a submodule: the shell runs nothing of it
        self.__dict__["decoder"] = decoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["decoder"], name)

    def forward(self, *_args: Any, inputs_embeds: Tensor, **_settings: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        class HiddenOutput(BaseModelOutput):  # type: ignore[misc]
            """Only a hidden state; caches, attentions and router logits are None."""

            def __getattr__(self, name: str) -> None:
                if name.startswith("__"):
                    raise AttributeError(name)

        return HiddenOutput(last_hidden_state=inputs_embeds)


def _without(module: nn.Module, decoder: nn.Module) -> nn.Module:
    """A shallow copy of `module`, sharing every part except `decoder`, which a stub replaces."""
    path = next((name for name, part in module.named_modules() if part is decoder), "")
    if not path:
        raise ModelError(
            f"{type(module).__name__}: its decoder is not a part of it, so it has no separate head"
        )
    shell = parent = _shallow(module)
    *outer, last = path.split(".")
    for name in outer:
        parent._modules[name] = parent = _shallow(parent.get_submodule(name))
    parent._modules[last] = _Hidden(decoder)
    return shell


def _shallow(module: nn.Module) -> nn.Module:
    twin = copy.copy(module)
    twin.__dict__["_modules"] = dict(module._modules)
    return twin


def _four_tokens(model: Model) -> Tensor:
    device = next(model.module.parameters()).device
    return torch.arange(NUM_TOKENS, device=device).remainder(model.vocab_size)[None]


def _relative_error(found: Tensor, expected: Tensor) -> float:
    """Largest difference in units of the largest value; NaN weights are found elsewhere, by name."""
    if found.shape != expected.shape:
        return float("inf")
    scale = expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
    return float((found - expected).abs().max() / scale)
