"""nanochat: rotary attention with QK norm, squared ReLU, norms without gains, soft-capped logits.

Parameter names equal those in the checkpoints. Shapes: B sequences, T tokens, D width, V vocabulary,
H heads, G key and value heads, K width of a head; q is (B, H, T, K), k and v are (B, G, T, K).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spectra_cli.core.types import Site
from spectra_cli.extract.models.canonical import absent_components, embedding_views, in_canonical_order
from spectra_cli.extract.models.decoder.attention import attend
from spectra_cli.extract.models.decoder.config import FLOAT32_EPS
from spectra_cli.extract.models.decoder.masks import Mask, MaskRule, mask_bytes
from spectra_cli.extract.models.decoder.module import MLP, RMSNorm
from spectra_cli.extract.models.matching import compare_shapes, require_floating
from spectra_cli.extract.models.nanochat.config import (
    SMEAR_CHANNELS,
    SOFTCAP,
    NanochatConfig,
    infer_nanochat,
)
from spectra_cli.extract.protocols import CheckpointHeader, MatrixView, Model

# nanochat's rotary tables reach ten times the training length
_ROTARY_REACH = 10

Rotation = tuple[Tensor, Tensor]

# nothing is learned in it: one for all places
norm = RMSNorm(FLOAT32_EPS)


class NanochatAttention(nn.Module):
    """Causal attention inside a window; H query heads share G key and value heads."""

    def __init__(self, config: NanochatConfig, layer: int) -> None:
        super().__init__()
        width, head = config.n_embd, config.head_width
        self.config = config
        self.window = config.windows[layer]
        self.c_q = nn.Linear(width, config.n_head * head, bias=False)
        self.c_k = nn.Linear(width, config.n_kv_head * head, bias=False)
        self.c_v = nn.Linear(width, config.n_kv_head * head, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)
        if layer in config.value_layers:
            self.ve_gate = nn.Linear(config.gate_channels, config.n_kv_head, bias=False)

    def forward(
        self, u: Tensor, token_values: Tensor | None, rotation: Rotation, masks: Mapping[int, Mask]
    ) -> Tensor:
        """(B, T, D) -> (B, T, D); `token_values` (B, T, G K) is this layer's embedding of the tokens."""
        width = self.config.head_width
        q, k, v = (c(u).unflatten(-1, (-1, width)) for c in (self.c_q, self.c_k, self.c_v))
        if token_values is not None:
            gate = self.config.gate_scale * torch.sigmoid(self.ve_gate(u[..., : self.config.gate_channels]))
            v = v + gate.unsqueeze(-1) * token_values.unflatten(-1, (-1, width))
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        q, k = (self.config.qk_scale * norm(rotate(part, rotation)) for part in (q, k))
        shared = self.config.n_head // self.config.n_kv_head
        k, v = (part.repeat_interleave(shared, dim=1) for part in (k, v))
        y = attend(q.to(v.dtype), k.to(v.dtype), v, masks.get(self.window), scale=None)
        out: Tensor = self.c_proj(y.transpose(1, 2).flatten(-2))
        return out


class NanochatBlock(nn.Module):
    """Pre-norm attention and MLP, each added to the residual stream."""

    def __init__(self, config: NanochatConfig, layer: int) -> None:
        super().__init__()
        self.attn = NanochatAttention(config, layer)
        self.mlp = MLP(config.n_embd, 4 * config.n_embd, "relu_squared", bias=False)

    def forward(
        self, x: Tensor, token_values: Tensor | None, rotation: Rotation, masks: Mapping[int, Mask]
    ) -> Tensor:
        """The residual stream (B, T, D) after this block."""
        x = x + self.attn(norm(x), token_values, rotation, masks)
        out: Tensor = x + self.mlp(norm(x))
        return out


class Nanochat(nn.Module):
    """The language model: `head(trunk(tokens))`."""

    def __init__(self, config: NanochatConfig) -> None:
        super().__init__()
        self.config = config
        vocab, width = config.padded_vocab_size, config.n_embd
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocab, width),
                "h": nn.ModuleList(NanochatBlock(config, layer) for layer in range(config.n_layer)),
            }
        )
        self.lm_head = nn.Linear(width, vocab, bias=False)
        self.kernels: dict[str, str] = {}
        self.final_norm = RMSNorm(FLOAT32_EPS)
        kv_width = config.n_kv_head * config.head_width
        self.value_embeds = nn.ModuleDict(
            {str(layer): nn.Embedding(vocab, kv_width) for layer in config.value_layers}
        )
        if config.lambdas:
            self.resid_lambdas = nn.Parameter(torch.empty(config.n_layer))
            self.x0_lambdas = nn.Parameter(torch.empty(config.n_layer))
        if config.smear:
            self.smear_gate = nn.Linear(SMEAR_CHANNELS, 1, bias=False)
            self.smear_lambda = nn.Parameter(torch.empty(1))
            self.backout_lambda = nn.Parameter(torch.empty(1))

    @property
    def embedding(self) -> nn.Module:
        """The token embedding."""
        return self.transformer["wte"]

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """The blocks in order."""
        return tuple(self.transformer.get_submodule("h").children())

    def trunk(self, tokens: Tensor) -> Tensor:
        """(B, T) ids -> (B, T, D) after the final norm."""
        x = norm(self.embedding(tokens))
        if self.config.smear:
            gate = self.smear_lambda * torch.sigmoid(self.smear_gate(x[:, 1:, :SMEAR_CHANNELS]))
            x = torch.cat((x[:, :1], x[:, 1:] + gate * x[:, :-1]), dim=1)
        first, halfway = x, x
        rotation = self.rotation(tokens.shape[1], x)
        rules = self._rules(tokens.shape[1])
        masks = {window: Mask(rule, tokens, kernels=self.kernels) for window, rule in rules.items()}
        for layer, block in enumerate(self.blocks):
            if self.config.lambdas:
                x = self.resid_lambdas[layer] * x + self.x0_lambdas[layer] * first
            values = self.value_embeds[str(layer)](tokens) if str(layer) in self.value_embeds else None
            x = block(x, values, rotation, masks)
            if layer == self.config.n_layer // 2:
                halfway = x
        if self.config.smear:
            x = x - self.backout_lambda * halfway
        out: Tensor = self.final_norm(x)
        return out

    def head(self, hidden: Tensor) -> Tensor:
        """(..., D) -> logits (..., V), 15 tanh(z / 15), without the rows that only pad."""
        logits = self.lm_head(hidden)[..., : self.config.vocab_size]
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return SOFTCAP * torch.tanh(wide / SOFTCAP)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) ids -> logits (B, T, V)."""
        return self.head(self.trunk(tokens))

    def _rules(self, length: int) -> dict[int, MaskRule]:
        """Window -> the keys that a query sees, its own token among them; none for one that hides nothing."""
        windows = {window for window in self.config.windows if window < length}
        return {window: MaskRule(window_tokens=window + 1) for window in windows}

    def held_bytes(self, length: int, width: int) -> tuple[int, int]:
        """Masks: for a whole batch of `length` tokens a sequence, at `width` bytes a value, and for each."""
        return sum(mask_bytes(rule, length, width)[0] for rule in self._rules(length).values()), 0

    def rotation(self, num_positions: int, like: Tensor) -> Rotation:
        """Cosine and sine of t * base^(-2j/K), (T, K/2) each, rounded to bfloat16 as in training."""
        width = self.config.head_width
        # in float32 and in this order: near a tie, bfloat16 makes a last bit a third digit
        exponents = torch.arange(0, width, 2, device=like.device, dtype=torch.float32) / width
        frequencies = 1.0 / self.config.rotary_base**exponents
        positions = torch.arange(num_positions, device=like.device, dtype=torch.float32)
        angles = torch.outer(positions, frequencies)
        return angles.cos().bfloat16().to(like.dtype), angles.sin().bfloat16().to(like.dtype)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Pairs (j, j + K/2) turned backwards: (a cos + b sin, b cos - a sin)."""
    cos, sin = rotation
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)


# ----------------------------------------------------------------------------- the family


@dataclass(slots=True, kw_only=True)
class NanochatFamily:
    """nanochat models, their features told by their tensors."""

    name: str
    summary: str

    def recognises(self, header: CheckpointHeader) -> bool:
        """Whether nanochat's own meta file stands beside the tensors."""
        return header.ref.format == "nanochat"

    def build(
        self, header: CheckpointHeader, state: Mapping[str, Tensor] | None, *, device: torch.device
    ) -> Model:
        """The model with the tensors of `state`, or a skeleton on the meta device.

        Raises:
            ModelError: a model of a kind that is not known, or tensors that do not fit, by name.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in (state or header.tensors).items()}
        config, notices = infer_nanochat(shapes, header.config, where=header.ref.uri)
        with torch.device("meta"):
            module = Nanochat(config)
        expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
        compare_shapes(header.ref, "nanochat", found=shapes, expected=expected)
        require_floating(header.ref, {name: tensor.dtype for name, tensor in header.tensors.items()})
        if state is not None:
            weights = {n: t.to(device=device, dtype=torch.float32) for n, t in state.items()}
            module.load_state_dict(weights, assign=True)
        module.eval().requires_grad_(requires_grad=False)
        return _measurable(module, self.name, notices)


NANOCHAT = NanochatFamily(name="nanochat", summary="nanochat, from October 2025 to its smear and backout")


def _measurable(module: Nanochat, family: str, notices: tuple[str, ...]) -> Model:
    config = module.config
    embed = "transformer.wte.weight"
    edges, absent = embedding_views(module.embedding, embed, module.lm_head, "lm_head.weight")
    views = [v for layer, block in enumerate(module.blocks) for v in _block_views(layer, block)]
    outside = [
        MatrixView(
            site=Site(layer=None, component=f"value_embeds.{layer}", name=f"value_embeds.{layer}.weight"),
            module=table,
            kind="embedding",
        )
        for layer, table in module.value_embeds.items()
    ]
    if config.smear:
        site = Site(layer=None, component="smear_gate", name="smear_gate.weight")
        outside.append(MatrixView(site=site, module=module.smear_gate))
    no_gate = {"mlp.gate": "the MLP has no gate"}
    absent |= absent_components(views, num_blocks=config.n_layer, reasons=no_gate, otherwise="not there")
    return Model(
        module=module,
        family=family,
        architecture="nanochat",
        recognised=True,
        width=config.n_embd,
        vocab_size=config.vocab_size,
        max_length=_ROTARY_REACH * config.sequence_len,
        blocks=module.blocks,
        matrices=in_canonical_order((*edges, *views, *outside)),
        final_norm=module.final_norm,
        trunk=module.trunk,
        head=module.head,
        held_bytes=module.held_bytes,
        kernels=module.kernels,
        absent=absent,
        notices=notices,
    )


def _block_views(layer: int, block: nn.Module) -> list[MatrixView]:
    parts = {
        "attn.q": "attn.c_q",
        "attn.k": "attn.c_k",
        "attn.v": "attn.c_v",
        "attn.o": "attn.c_proj",
        "mlp.up": "mlp.c_fc",
        "mlp.down": "mlp.c_proj",
    }
    if hasattr(block.attn, "ve_gate"):
        parts["attn.ve_gate"] = "attn.ve_gate"
    return [
        MatrixView(
            site=Site(layer=layer, component=component, name=f"transformer.h.{layer}.{path}.weight"),
            module=block.get_submodule(path),
        )
        for component, path in parts.items()
    ]
