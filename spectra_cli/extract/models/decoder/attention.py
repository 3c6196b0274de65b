"""Attention by the fastest kernel that keeps the rule: flex attention on CUDA where it works, else masks.

Shapes: B sequences, T tokens, H heads, K width of a head.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from spectra_cli.extract.models.decoder.masks import Mask, attend_masked

FLEX, MASKED = "flex attention", "fused attention under masks"


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask | None, *, scale: float | None) -> Tensor:
    """softmax(scale q k^T + mask) v, (B, H, T, K) each; plain causal attention without a mask.

    Args:
        scale: None for K^-1/2.
    """
    if mask is None:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
    why_not = _why_not_flex(q, mask, scale=scale)
    mask.kernels[FLEX if why_not is None else MASKED] = why_not or ""
    if why_not is None:
        from spectra_cli.extract.models.decoder.flex import attend_flex, blocks_of

        return attend_flex(q, k, v, blocks_of(mask), scale=scale)
    return attend_masked(q, k, v, mask, scale=scale)


def _why_not_flex(q: Tensor, mask: Mask, *, scale: float | None) -> str | None:
    """What speaks against flex attention; None where nothing does. It takes seconds to import."""
    if q.device.type != "cuda":
        return ""
    from spectra_cli.extract.models.decoder.flex import objection

    return objection(q, mask, scale=scale)
