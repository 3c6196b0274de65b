"""What one decoder of the NanoGPT world is made of: every switch that its variants differ in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from spectra_cli.extract.models.decoder.head import SoftCapKind
from spectra_cli.extract.models.decoder.masks import MaskRule
from spectra_cli.extract.models.decoder.rope import Direction, RopeKind
from spectra_cli.extract.models.decoder.values import ValueMix, value_partner

Activation = Literal["relu_squared", "gelu", "gelu_tanh"]

# torch's own default for float32 input; the family calls its norm without an epsilon
FLOAT32_EPS = 2.0**-23


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """One decoder of the family.

    Attributes:
        n_layer, n_head, n_embd, vocab_size, mlp_width: sizes.
        num_positions: rows of the learned position table; None with RoPE.
        rope, rope_dir: which rotation; "+" is (a cos - b sin, a sin + b cos), "-" its inverse.
        rope_table_dtype: what the cos and sin tables are rounded to; None for the activations' dtype.
        fused_qkv: one matrix with rows ordered q, k, v.
        qk_norm: RMS norm of q and k over each head, before the rotation.
        norm: "rms" without gain, or "layer" with gain.
        norm_bias, qkv_bias, attn_proj_bias, mlp_bias: which have a bias.
        activation: of the MLP.
        tied: whether the head is the token embedding.
        embed_norm: RMS norm of the embedding before the first block.
        norm_eps, qk_norm_eps: epsilons; bfloat16 runs under torch 2.5 and 2.6 had 2**-7 in the latter.
        norm_float32: norms work and answer in float32 also where their input is bfloat16.
        x0_mix: every block starts from lambdas[0] x + lambdas[1] x0, with x0 the first block's input.
        value_mix, value_reach: what values are mixed with, and in how many layers at each end.
        unet: outputs of the first half of the blocks are added, last first, before those of the second.
        attention_free: blocks that are an MLP alone.
        attn_scale: factor of q k^T; None for the inverse root of the head's width.
        mask: what limits causal attention; None for nothing. short_mask: the same in `short_layers`.
        softcap, softcap_constant: of the logits.
        head: "fp8" rounds the head's operands as FP8 training does.
    """

    n_layer: int
    n_head: int
    n_embd: int
    vocab_size: int
    mlp_width: int
    num_positions: int | None
    rope_dir: Direction
    rope_table_dtype: torch.dtype | None
    fused_qkv: bool
    qk_norm: bool
    norm: Literal["rms", "layer"]
    norm_bias: bool
    qkv_bias: bool
    attn_proj_bias: bool
    mlp_bias: bool
    activation: Activation
    tied: bool
    embed_norm: bool
    norm_eps: float
    qk_norm_eps: float
    norm_float32: bool = False
    rope: RopeKind = "full"
    x0_mix: bool = False
    value_mix: ValueMix = "none"
    value_reach: int = 0
    unet: bool = False
    attention_free: frozenset[int] = frozenset()
    attn_scale: float | None = None
    mask: MaskRule | None = None
    short_mask: MaskRule | None = None
    softcap: SoftCapKind = "none"
    softcap_constant: float = 0.0
    head: Literal["plain", "fp8"] = "plain"

    @property
    def head_width(self) -> int:
        """K, of one attention head."""
        return self.n_embd // self.n_head

    @property
    def num_encoder_layers(self) -> int:
        """Blocks before the middle."""
        return self.n_layer // 2

    @property
    def short_layers(self) -> frozenset[int]:
        """Layers under `short_mask`: all but every fourth from either end; none without such a mask."""
        if self.short_mask is None:
            return frozenset()
        layers = range(self.n_layer)
        return frozenset(
            i for i in layers if (i if i < self.num_encoder_layers else self.n_layer - 1 - i) % 4
        )

    def value_partner(self, layer: int) -> int | None:
        """Slice of `vte`, or sparse table, that a layer's values are mixed with."""
        return value_partner(self.value_mix, layer, num_layers=self.n_layer, reach=self.value_reach)
