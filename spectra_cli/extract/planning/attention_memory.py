"""What attention that is not fused takes: every score of every head, T^2 of them a sequence."""

from __future__ import annotations

from spectra_cli.extract.protocols import Model

# In units of a layer's scores (B H T^2): each layer keeps its weights for backward, whose own temporaries are
# those of four; a forward pass has four. In the heap that is kept from batch to batch they leave holes,
# since small pieces settle between them: scans of 4 layers of MPT had 250 MiB in use and took 530 to 760, of
# 6 layers of CodeGen 450 and 860 to 950. With a mapping of its own for each array the holes are gone, and the
# scans take twice the processor time.
_HOLES = 2.5
_KEPT, _BACKWARD, _FORWARD = 1, 4, 4


def is_eager(model: Model) -> bool:
    """Whether its attention is the one of transformers that keeps the scores."""
    return getattr(getattr(model.module, "config", None), "_attn_implementation", "") == "eager"


def attention_bytes(model: Model, length: int, width: int, *, rounded: bool, backward: bool) -> int:
    """Bytes that attention takes for one sequence of `length` tokens; 0 where it is fused or there is none.

    Args:
        model: its number of heads is read from its config.
        length: T.
        width: bytes a value.
        rounded: whether products are formed in bfloat16, so that weights are kept rounded, too.
        backward: whether weights are kept for it.
    """
    heads = getattr(getattr(model.module, "config", None), "num_attention_heads", 0)
    if not (is_eager(model) and isinstance(heads, int) and heads):
        return 0
    scores = heads * length**2
    if not backward:
        return int(_HOLES * _FORWARD * scores * width)
    kept = width + 2 if rounded else width
    return int(_HOLES * scores * (_KEPT * len(model.blocks) * kept + _BACKWARD * width))
