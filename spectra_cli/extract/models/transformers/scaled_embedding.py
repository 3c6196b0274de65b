"""An embedding that scales what it looks up (Gemma), taken apart into the lookup and the scale.

The gradient at such a module's output is the table's divided by the scale; at the lookup it is the table's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_NUM_COMPARED = 4


class ScaledEmbedding(nn.Module):
    """Rows of a table times a constant.

    Args:
        scaled: an `nn.Embedding` whose forward multiplies by its `embed_scale`; its weight, tied or not,
            becomes the weight of `lookup`.
    """

    scale: Tensor

    def __init__(self, scaled: nn.Embedding) -> None:
        """Share the table and the scale of `scaled`."""
        super().__init__()
        with torch.device("meta"):
            self.lookup = nn.Embedding(
                scaled.num_embeddings, scaled.embedding_dim, padding_idx=scaled.padding_idx
            )
        self.lookup.weight = scaled.weight
        scale = torch.as_tensor(scaled.embed_scale, device=scaled.weight.device)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids (B, T) -> (B, T, D)."""
        looked_up: Tensor = self.lookup(tokens)
        return looked_up * self.scale.to(looked_up.dtype)


def take_apart(module: nn.Module, path: str) -> nn.Embedding:
    """The table at `path`; where its module scales, with that module replaced by its two parts.

    A module whose outputs the parts do not reproduce stays as it is.
    """
    embed = module.get_submodule(path)
    if not isinstance(embed, nn.Embedding) or not hasattr(embed, "embed_scale"):
        return embed  # type: ignore[return-value]
    apart = ScaledEmbedding(embed).eval()
    ids = torch.arange(min(_NUM_COMPARED, embed.num_embeddings), device=embed.weight.device)
    if not ids.is_meta and not torch.allclose(apart(ids), embed(ids), rtol=0, atol=0, equal_nan=True):
        return embed
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, apart)
    return apart.lookup
