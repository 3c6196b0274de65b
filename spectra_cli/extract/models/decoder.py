"""One configurable decoder for nanoGPT and the Spectral Lens paper's variants.

Parameter names equal those in the checkpoints. Shapes: B sequences, T tokens, D width, V vocabulary,
H heads, K width of a head; q, k, v are (B, H, T, K), the residual stream x is (B, T, D).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from spectra_cli.extract.models.decoder_config import DecoderConfig

ROPE_BASE = 10000.0

RopeTables = tuple[Tensor, Tensor]


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) over the last dimension; no learned gain."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return functional.rms_norm(x, (x.shape[-1],), eps=self.eps)


class Attention(nn.Module):
    """Causal self-attention; q, k and v from one fused matrix or from three."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width = config.n_embd
        self.n_head = config.n_head
        self.rope_dir = config.rope_dir
        self.qk_norm = RMSNorm(config.qk_norm_eps) if config.qk_norm else None
        if config.fused_qkv:
            self.c_attn = nn.Linear(width, 3 * width, bias=config.qkv_bias)
        else:
            self.c_q = nn.Linear(width, width, bias=config.qkv_bias)
            self.c_k = nn.Linear(width, width, bias=config.qkv_bias)
            self.c_v = nn.Linear(width, width, bias=config.qkv_bias)
        self.fused_qkv = config.fused_qkv
        self.c_proj = nn.Linear(width, width, bias=config.attn_proj_bias)

    def forward(self, u: Tensor, rope: RopeTables | None) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        if self.fused_qkv:
            projections = self.c_attn(u).chunk(3, dim=-1)
        else:
            projections = (self.c_q(u), self.c_k(u), self.c_v(u))
        q, k, v = (p.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for p in projections)
        if self.qk_norm is not None:
            q, k = self.qk_norm(q), self.qk_norm(k)
        if rope is not None:
            q = rotate(q, rope, direction=self.rope_dir)
            k = rotate(k, rope, direction=self.rope_dir)
        y = functional.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
        out: Tensor = self.c_proj(y.transpose(1, 2).flatten(-2))
        return out


class MLP(nn.Module):
    """Two linear maps with a squared ReLU or an exact GELU between them."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.c_fc = nn.Linear(config.n_embd, config.mlp_width, bias=config.mlp_bias)
        self.c_proj = nn.Linear(config.mlp_width, config.n_embd, bias=config.mlp_bias)

    def forward(self, u: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        hidden: Tensor = self.c_fc(u)
        hidden = functional.gelu(hidden) if self.activation == "gelu" else functional.relu(hidden).square()
        out: Tensor = self.c_proj(hidden)
        return out


class Block(nn.Module):
    """Pre-norm attention and MLP, each added to the residual stream."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.ln_1 = make_norm(config)
        self.attn = Attention(config)
        self.ln_2 = make_norm(config)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, rope: RopeTables | None) -> Tensor:
        """The residual stream (B, T, D) after this block."""
        x = x + self.attn(self.ln_1(x), rope)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Decoder(nn.Module):
    """The language model: `head(trunk(tokens))`."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_norm = RMSNorm(config.norm_eps) if config.embed_norm else None
        parts: dict[str, nn.Module] = {"wte": nn.Embedding(config.vocab_size, config.n_embd)}
        if config.num_positions is not None:
            parts["wpe"] = nn.Embedding(config.num_positions, config.n_embd)
        parts["h"] = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        parts["ln_f"] = make_norm(config)
        self.transformer = nn.ModuleDict(parts)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.tie()

    def tie(self) -> None:
        """Make head and embedding one parameter where the configuration says so."""
        if self.config.tied:
            self.lm_head.weight = self.embedding.weight

    @property
    def embedding(self) -> nn.Embedding:
        """The token embedding."""
        part = self.transformer["wte"]
        assert isinstance(part, nn.Embedding)  # noqa: S101 - built so above
        return part

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """The blocks in order."""
        return tuple(self.transformer.get_submodule("h").children())

    def trunk(self, tokens: Tensor) -> Tensor:
        """(B, T) ids -> (B, T, D) after the final norm."""
        x: Tensor = self.embedding(tokens)
        rope = None
        if "wpe" in self.transformer:
            x = x + self.transformer["wpe"](torch.arange(tokens.shape[1], device=tokens.device))
        else:
            rope = self.rope_tables(tokens.shape[1], x)
        if self.embed_norm is not None:
            x = self.embed_norm(x)
        for block in self.blocks:
            x = block(x, rope)
        out: Tensor = self.transformer["ln_f"](x)
        return out

    def head(self, hidden: Tensor) -> Tensor:
        """(..., D) -> logits (..., V)."""
        logits: Tensor = self.lm_head(hidden)
        return logits

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) ids -> logits (B, T, V)."""
        return self.head(self.trunk(tokens))

    def rope_tables(self, num_positions: int, like: Tensor) -> RopeTables:
        """Cosine and sine of t * base^(-2j/K), (T, K/2) each, rounded as the configuration says.

        Args:
            like: a tensor of the dtype and device of the residual stream.
        """
        half = self.config.n_embd // self.config.n_head // 2
        # float32 as in training, but never coarser than a float64 model
        dtype = torch.promote_types(like.dtype, torch.float32)
        positions = torch.arange(num_positions, device=like.device, dtype=dtype)
        frequencies = ROPE_BASE ** (-torch.arange(half, device=like.device, dtype=dtype) / half)
        angles = torch.outer(positions, frequencies)
        rounded = self.config.rope_table_dtype or dtype
        return angles.cos().to(rounded), angles.sin().to(rounded)


def make_norm(config: DecoderConfig) -> nn.Module:
    """The norm of the residual stream."""
    if config.norm == "layer":
        return nn.LayerNorm(config.n_embd, eps=config.norm_eps, bias=config.norm_bias)
    return RMSNorm(config.norm_eps)


def rotate(x: Tensor, tables: RopeTables, *, direction: str) -> Tensor:
    """Rotary embedding on the pairs (j, j + K/2): (a cos - b sin, a sin + b cos), or its inverse for "-"."""
    cos, sin = (table.to(x.dtype) for table in tables)
    if direction == "-":
        sin = -sin
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
