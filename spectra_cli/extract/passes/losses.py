"""Per-sequence losses and their gradient at the head's input, without a full set of logits.

Shape suffixes: B sequences, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from spectra_cli.extract.passes.taps import Clock
from spectra_cli.extract.protocols import Model

IGNORED = -100
# Bytes of one chunk's logits in float32; the loss keeps about three such buffers. On the CPU below the
# 32 MiB up to which glibc keeps a freed buffer: a fresh one costs a page fault every 4 KiB.
CHUNK_BYTES = {"cpu": 24 * 2**20, "cuda": 512 * 2**20}


def chunk_bytes(device: torch.device) -> int:
    """Bytes of one chunk's logits in float32 on this kind of device."""
    return CHUNK_BYTES.get(device.type, CHUNK_BYTES["cuda"])


def model_losses(model: Model, tokens_BT: Tensor, targets_BT: Tensor, clock: Clock) -> Tensor:
    """Mean token loss of each sequence, nats per token: (B,); backward, where gradients are enabled.

    From the model's trunk and head in chunks, or from the user's own loss, which sees whole sequences.
    """
    if model.loss is None:
        return sequence_losses(model.head, model.trunk(tokens_BT), targets_BT, model.vocab_size, clock)
    losses_B = model.loss(tokens_BT, targets_BT)
    if losses_B.requires_grad:
        losses_B.sum().backward()
    return losses_B.detach()


def sequence_losses(
    head: Callable[[Tensor], Tensor], hidden_BTD: Tensor, targets_BT: Tensor, vocab_size: int, clock: Clock
) -> Tensor:
    """Mean token cross-entropy of each sequence over its valid targets, nats per token: (B,).

    Where gradients are enabled and `hidden_BTD` carries a graph, the gradient of the *sum* of the
    losses is sent back through it at once: each sequence's own gradient stays apart, since no loss
    sees another sequence.
    """
    backward = torch.is_grad_enabled()
    valid_BT = targets_BT != IGNORED
    weights_BT = valid_BT / valid_BT.sum(1, keepdim=True, dtype=_wide(hidden_BTD.dtype))
    safe_BT = targets_BT.clamp(min=0)
    losses_B = hidden_BTD.new_zeros(hidden_BTD.shape[0], dtype=_wide(hidden_BTD.dtype))
    gradient_BTD = torch.empty_like(hidden_BTD) if backward and hidden_BTD.requires_grad else None
    most = chunk_bytes(hidden_BTD.device) // (4 * vocab_size)
    for sequences, tokens in _chunks(hidden_BTD.shape[0], hidden_BTD.shape[1], most):
        clock.part = (sequences.start, sequences.stop)
        # A copy with strides of its own: a view of one sequence keeps the whole batch's stride, which
        # torch takes for a batched product, and copies the weight for it at every call.
        chunk = hidden_BTD[sequences, tokens].detach().clone(memory_format=torch.contiguous_format)
        chunk.requires_grad_(gradient_BTD is not None)
        logits = head(chunk)
        with torch.no_grad():
            log_shares = torch.log_softmax(logits.detach(), -1, dtype=_wide(logits.dtype))
            picked = safe_BT[sequences, tokens].unsqueeze(-1)
            weights = weights_BT[sequences, tokens].to(log_shares.dtype)
            losses_B[sequences] -= (log_shares.gather(-1, picked).squeeze(-1) * weights).sum(1)
        if not logits.requires_grad:
            continue
        with torch.no_grad():
            residual = log_shares.exp_()
            residual.scatter_add_(-1, picked, residual.new_full((), -1.0).expand(picked.shape))
            residual.mul_(weights.unsqueeze(-1))
        logits.backward(residual.to(logits.dtype))
        if gradient_BTD is not None and chunk.grad is not None:
            gradient_BTD[sequences, tokens] = chunk.grad
    clock.part = None
    if gradient_BTD is not None:
        hidden_BTD.backward(gradient_BTD)
    return losses_B


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _chunks(sequences: int, length: int, most: int) -> list[tuple[slice, slice]]:
    """Pieces of a (B, T) batch of at most `most` tokens and about equal size, whole sequences first."""
    if most >= length:
        step = math.ceil(sequences / math.ceil(sequences / (most // length)))
        return [(slice(b, min(b + step, sequences)), slice(0, length)) for b in range(0, sequences, step)]
    tokens = math.ceil(length / math.ceil(length / max(1, most)))
    return [
        (slice(b, b + 1), slice(t, min(t + tokens, length)))
        for b in range(sequences)
        for t in range(0, length, tokens)
    ]
