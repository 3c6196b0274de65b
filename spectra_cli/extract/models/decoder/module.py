"""One configurable decoder for nanoGPT and the Spectral Lens paper's variants.

Parameter names equal those in the checkpoints. Shapes: B sequences, T tokens, D width, V vocabulary,
H heads, K width of a head; q, k, v are (B, H, T, K), the residual stream x is (B, T, D). A sequence of a
variant that trains on flat streams is one stream, whatever its length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from spectra_cli.extract.models.decoder.attention import attend
from spectra_cli.extract.models.decoder.config import Activation, DecoderConfig
from spectra_cli.extract.models.decoder.head import Fp8Linear, fp8_logits, soft_cap
from spectra_cli.extract.models.decoder.masks import Mask, MaskRule, mask_bytes
from spectra_cli.extract.models.decoder.rope import RopeTables, rope_tables, rotate
from spectra_cli.extract.models.decoder.values import (
    SparseValueEmbeddings,
    blend,
    num_value_slices,
    weigh,
)


@dataclass(slots=True, kw_only=True, eq=False)
class Shared:
    """What the blocks of one forward pass share.

    Attributes:
        x0: input of the first block.
        rope: tables, None with learned positions.
        mask, short_mask: for the layers that have one.
        value_embeddings: (B, T, D) each: the slices of `vte`, or the sparse tables.
        first_value: v of the first block, once it is there.
    """

    x0: Tensor
    rope: RopeTables | None
    mask: Mask | None
    short_mask: Mask | None
    value_embeddings: tuple[Tensor, ...]
    first_value: Tensor | None = None


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) over the last dimension; no learned gain."""

    def __init__(self, eps: float, *, wide: bool = False) -> None:
        super().__init__()
        self.eps = eps
        self.wide = wide

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), in float32 at least if `wide`."""
        if self.wide:
            x = x.to(torch.promote_types(x.dtype, torch.float32))
        return functional.rms_norm(x, (x.shape[-1],), eps=self.eps)


class Attention(nn.Module):
    """Causal self-attention; q, k and v from one fused matrix or from three."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        width = config.n_embd
        self.n_head = config.n_head
        self.rope_dir = config.rope_dir
        self.scale = config.attn_scale
        self.is_short = layer in config.short_layers
        self.value_mix = config.value_mix
        self.value_partner = config.value_partner(layer)
        self.qk_norm = RMSNorm(config.qk_norm_eps, wide=config.norm_float32) if config.qk_norm else None
        if config.fused_qkv:
            self.c_attn = nn.Linear(width, 3 * width, bias=config.qkv_bias)
        else:
            self.c_q = nn.Linear(width, width, bias=config.qkv_bias)
            self.c_k = nn.Linear(width, width, bias=config.qkv_bias)
            self.c_v = nn.Linear(width, width, bias=config.qkv_bias)
        self.fused_qkv = config.fused_qkv
        self.c_proj = nn.Linear(width, width, bias=config.attn_proj_bias)
        if config.value_mix == "sparse":
            self.mix = nn.Parameter(torch.full((2,), 0.5))
        elif config.value_mix != "none":
            self.lamb = nn.Parameter(torch.tensor(0.5))

    def forward(self, u: Tensor, shared: Shared) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        if self.fused_qkv:
            projections = self.c_attn(u).chunk(3, dim=-1)
        else:
            projections = (self.c_q(u), self.c_k(u), self.c_v(u))
        q, k, v = (self._heads(p) for p in projections)
        v = self._mixed(v, shared)
        if self.qk_norm is not None:
            q, k = self.qk_norm(q), self.qk_norm(k)
        if shared.rope is not None:
            q = rotate(q, shared.rope, direction=self.rope_dir)
            k = rotate(k, shared.rope, direction=self.rope_dir)
        mask = shared.short_mask if self.is_short else shared.mask
        y: Tensor = attend(q.to(v.dtype), k.to(v.dtype), v, mask, scale=self.scale)
        out: Tensor = self.c_proj(y.transpose(1, 2).flatten(-2))
        return out

    def _heads(self, x: Tensor) -> Tensor:
        heads: Tensor = x.unflatten(-1, (self.n_head, -1)).transpose(1, 2)
        return heads

    def _mixed(self, v: Tensor, shared: Shared) -> Tensor:
        """Values as attention sees them."""
        partner = self.value_partner
        own = None if partner is None else self._heads(shared.value_embeddings[partner])
        if self.value_mix == "sparse":
            return weigh(v, own, self.mix)
        if self.value_mix == "first_v":
            if shared.first_value is None:
                shared.first_value = v
                return v
            own = shared.first_value
        return v if own is None else blend(v, own, self.lamb)


class MLP(nn.Module):
    """Two linear maps with a squared ReLU or a GELU, exact or in its tanh form, between them."""

    def __init__(self, width: int, hidden: int, activation: Activation, *, bias: bool) -> None:
        super().__init__()
        self.activation = activation
        self.c_fc = nn.Linear(width, hidden, bias=bias)
        self.c_proj = nn.Linear(hidden, width, bias=bias)

    def forward(self, u: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        hidden: Tensor = self.c_fc(u)
        if self.activation == "relu_squared":
            hidden = functional.relu(hidden).square()
        else:
            hidden = functional.gelu(hidden, approximate="tanh" if self.activation == "gelu_tanh" else "none")
        out: Tensor = self.c_proj(hidden)
        return out


class Block(nn.Module):
    """Pre-norm attention and MLP, each added to the residual stream; some blocks have no attention."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.lambdas = nn.Parameter(torch.tensor([1.0, 0.0])) if config.x0_mix else None
        has_attention = layer not in config.attention_free
        self.ln_1 = make_norm(config) if has_attention else None
        self.attn = Attention(config, layer) if has_attention else None
        self.ln_2 = make_norm(config)
        self.mlp = MLP(config.n_embd, config.mlp_width, config.activation, bias=config.mlp_bias)

    def forward(self, x: Tensor, shared: Shared) -> Tensor:
        """The residual stream (B, T, D) after this block."""
        if self.lambdas is not None:
            x = self.lambdas[0] * x + self.lambdas[1] * shared.x0
        if self.attn is not None and self.ln_1 is not None:
            x = x + self.attn(self.ln_1(x), shared)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Decoder(nn.Module):
    """The language model: `head(trunk(tokens))`."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.kernels: dict[str, str] = {}
        vocab, width = config.vocab_size, config.n_embd
        self.embed_norm = RMSNorm(config.norm_eps, wide=config.norm_float32) if config.embed_norm else None
        parts: dict[str, nn.Module] = {"wte": nn.Embedding(vocab, width)}
        if config.num_positions is not None:
            parts["wpe"] = nn.Embedding(config.num_positions, width)
        if slices := num_value_slices(config.value_mix, config.n_layer):
            parts["vte"] = nn.Embedding(vocab, slices * width)
        parts["h"] = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        parts["ln_f"] = make_norm(config)
        self.transformer = nn.ModuleDict(parts)
        self.value_embeds = SparseValueEmbeddings(vocab, width) if config.value_mix == "sparse" else None
        num_skips = config.n_layer - config.num_encoder_layers
        self.skip_weights = nn.Parameter(torch.ones(num_skips)) if config.unet else None
        if config.head == "fp8":
            self.lm_head: nn.Linear = Fp8Linear(width, vocab)
        else:
            self.lm_head = nn.Linear(width, vocab, bias=False)
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
        if "wpe" in self.transformer:
            x = x + self.transformer["wpe"](torch.arange(tokens.shape[1], device=tokens.device))
        if self.embed_norm is not None:
            x = self.embed_norm(x)
        shared = self._shared(tokens, x)
        middle = self.config.num_encoder_layers
        encoded: list[Tensor] = []
        for layer, block in enumerate(self.blocks):
            if self.skip_weights is not None and layer >= middle:
                x = x + self.skip_weights[layer - middle] * encoded.pop()
            x = block(x, shared)
            if self.skip_weights is not None and layer < middle:
                encoded.append(x)
        out: Tensor = self.transformer["ln_f"](x)
        return out

    def _shared(self, tokens: Tensor, x: Tensor) -> Shared:
        config, rope = self.config, None
        if config.num_positions is None:
            rope = rope_tables(
                config.rope,
                num_positions=tokens.shape[1],
                head_width=config.head_width,
                like=x,
                rounded_to=config.rope_table_dtype,
            )
        if "vte" in self.transformer:
            values = self.transformer["vte"](tokens).split(config.n_embd, dim=-1)
        else:
            values = () if self.value_embeds is None else self.value_embeds(tokens)
        return Shared(
            x0=x,
            rope=rope,
            mask=self._mask(config.mask, tokens),
            short_mask=self._mask(config.short_mask, tokens),
            value_embeddings=values,
        )

    def _mask(self, rule: MaskRule | None, tokens: Tensor) -> Mask | None:
        return None if rule is None else Mask(rule, tokens, kernels=self.kernels)

    def held_bytes(self, length: int, width: int) -> tuple[int, int]:
        """What a pass holds beside activations: masks, and the FP8 head's rounded weight. For a whole
        batch, and for each of its sequences of `length` tokens; `width` bytes a value.
        """
        masks = [
            mask_bytes(rule, length, width)
            for rule in (self.config.mask, self.config.short_mask)
            if rule is not None
        ]
        rounded = self.lm_head.weight.numel() * width if self.config.head == "fp8" else 0
        return rounded + sum(whole for whole, _ in masks), sum(each for _, each in masks)

    def head(self, hidden: Tensor) -> Tensor:
        """(..., D) -> logits (..., V)."""
        config = self.config
        logits: Tensor = fp8_logits(self.lm_head, hidden) if config.head == "fp8" else self.lm_head(hidden)
        return soft_cap(logits, config.softcap, config.softcap_constant, width=config.n_embd)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) ids -> logits (B, T, V)."""
        return self.head(self.trunk(tokens))


def make_norm(config: DecoderConfig) -> nn.Module:
    """The norm of the residual stream."""
    if config.norm == "layer":
        return nn.LayerNorm(config.n_embd, eps=config.norm_eps, bias=config.norm_bias)
    return RMSNorm(config.norm_eps, wide=config.norm_float32)
