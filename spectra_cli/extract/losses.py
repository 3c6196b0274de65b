"""Per-sequence losses and their gradient at the head's input, without a full set of logits.

Shape suffixes: B sequences, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from spectra_cli.extract.taps import Clock

IGNORED = -100
# Bytes of one chunk's logits in float32; the loss keeps about three such buffers.
CHUNK_BYTES = 64 * 2**20


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
    for sequences, tokens in _chunks(hidden_BTD.shape[0], hidden_BTD.shape[1], vocab_size):
        clock.part = (sequences.start, sequences.stop)
        chunk = hidden_BTD[sequences, tokens].detach().requires_grad_(gradient_BTD is not None)
        logits = head(chunk)
        with torch.no_grad():
            wide = logits.detach().to(_wide(logits.dtype))
            log_norm = torch.logsumexp(wide, -1)
            picked = safe_BT[sequences, tokens].unsqueeze(-1)
            weights = weights_BT[sequences, tokens].to(wide.dtype)
            chosen = wide.gather(-1, picked).squeeze(-1)
            losses_B[sequences] += ((log_norm - chosen) * weights).sum(1)
        if not logits.requires_grad:
            continue
        with torch.no_grad():
            residual = torch.exp(wide - log_norm.unsqueeze(-1))
            del wide
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


def _chunks(sequences: int, length: int, vocab_size: int) -> list[tuple[slice, slice]]:
    """Pieces of a (B, T) batch whose float32 logits fit in `CHUNK_BYTES`, whole sequences first."""
    tokens = max(1, CHUNK_BYTES // (4 * vocab_size))
    if tokens >= length:
        step = tokens // length
        return [(slice(b, min(b + step, sequences)), slice(0, length)) for b in range(0, sequences, step)]
    return [
        (slice(b, b + 1), slice(t, min(t + tokens, length)))
        for b in range(sequences)
        for t in range(0, length, tokens)
    ]
