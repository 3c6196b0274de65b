"""The user's own loss: a function of module, tokens and targets, checked before it stands for trunk and head.

    loss(module, tokens, targets) -> (B,)     mean of -log p(target) of each sequence, nats per token

Shape suffixes: B sequences, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spectra_cli.core.errors import OwnCodeError
from spectra_cli.extract.models.users_code import users_code
from spectra_cli.extract.protocols import Model

UsersLoss = Callable[[Any, Tensor, Tensor], Tensor]
OwnLoss = Callable[[Tensor, Tensor], Tensor]

_NO_TARGET = -100
_NUM_TOKENS = 4
# float32 rounding, where a kernel sums in another order for another number of sequences
_TOLERANCE = 1e-4


def own_loss(loss: UsersLoss, module: nn.Module, word: str) -> OwnLoss:
    """`loss` of `module`, its result checked at every call: one number a sequence, in float32 at least."""

    def losses(tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
        with users_code(f"--model {word}", "its loss"):
            found = loss(module, tokens_BT, targets_BT)
        expected = (tokens_BT.shape[0],)
        if not isinstance(found, Tensor) or tuple(found.shape) != expected or not found.is_floating_point():
            raise OwnCodeError(
                f"--model {word}: its loss returned {_described(found)} for tokens of shape "
                f"{tuple(tokens_BT.shape)}; expected a floating-point tensor of shape {expected}: the mean "
                "loss of each sequence, not one of them all"
            )
        return found.to(torch.promote_types(found.dtype, torch.float32))

    return losses


def stream_under(loss: OwnLoss, blocks: Sequence[nn.Module], word: str) -> Callable[[Tensor], Tensor]:
    """Tokens (B, T) -> residual stream after the last block, as it is while the loss is worked out."""

    def trunk(tokens: Tensor) -> Tensor:
        seen: list[Tensor] = []

        def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
            seen.append(output[0] if isinstance(output, tuple) else output)

        handle = blocks[-1].register_forward_hook(note)
        try:
            loss(tokens, tokens)
        finally:
            handle.remove()
        if not seen:
            raise OwnCodeError(
                f"--model {word}: its loss never called the last of the blocks; name the blocks that it does "
                "call in `blocks`"
            )
        return seen[-1]

    return trunk


def check_loss(model: Model, word: str) -> None:
    """Prove on two sequences of four tokens that a loss of the user's own can be measured.

    Raises:
        ModelError: it is not finite, depends on the other sequences of the batch, or has no gradient.
    """
    assert model.loss is not None  # noqa: S101 - called for such models only
    device = next(model.module.parameters()).device
    tokens = torch.arange(2 * _NUM_TOKENS, device=device).remainder(model.vocab_size).view(2, _NUM_TOKENS)
    targets = tokens.roll(-1, 1)
    targets[0, -1] = _NO_TARGET
    with torch.inference_mode():
        together = model.loss(tokens, targets)
        each = torch.cat([model.loss(tokens[i : i + 1], targets[i : i + 1]) for i in range(2)])
    if not together.isfinite().all():
        # non-finite weights are found elsewhere, by name
        if all(bool(p.isfinite().all()) for p in model.module.parameters()):
            raise OwnCodeError(
                f"--model {word}: its loss is {together.tolist()} on two sequences of four tokens, though "
                "all weights are finite. Targets are -100 where a position has none: leave such positions out"
            )
        return
    if float((together - each).abs().max()) > _TOLERANCE * float(each.abs().max()):
        raise OwnCodeError(
            f"--model {word}: its loss of two sequences is {together.tolist()} together and {each.tolist()} "
            "one by one; the loss of a sequence must not depend on the others of its batch"
        )
    _require_gradient(model, tokens, targets, word)


def _require_gradient(model: Model, tokens: Tensor, targets: Tensor, word: str) -> None:
    parameters = [p for p in model.module.parameters() if p.is_floating_point()]
    for parameter in parameters:
        parameter.requires_grad_()
    try:
        with torch.enable_grad():
            has_gradient = model.loss is not None and model.loss(tokens, targets).requires_grad
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)  # noqa: FBT003 - torch's own signature
    if not has_gradient:
        raise OwnCodeError(
            f"--model {word}: its loss carries no gradient; it is worked out under torch.no_grad, detached, "
            "or from numbers: return what autograd can go back from"
        )


def _described(found: Any) -> str:
    if not isinstance(found, Tensor):
        return f"a {type(found).__name__}"
    return f"a tensor of shape {tuple(found.shape)} and type {str(found.dtype).removeprefix('torch.')}"
