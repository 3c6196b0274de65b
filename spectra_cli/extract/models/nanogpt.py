"""The NanoGPT world: Karpathy's nanoGPT, the Spectral Lens variants 3 to 6, and the paper's toy models."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spectra_cli.core.errors import ModelError
from spectra_cli.core.types import Site
from spectra_cli.extract.models.canonical import absent_components, embedding_views, in_canonical_order
from spectra_cli.extract.models.decoder import Decoder
from spectra_cli.extract.models.decoder_config import infer_decoder
from spectra_cli.extract.models.matching import compare_shapes
from spectra_cli.extract.protocols import CheckpointHeader, MatrixView, Model

_EMBEDDING, _HEAD = "transformer.wte.weight", "lm_head.weight"

# nanoGPT stores its causal mask where fused attention was not available
_MASK_BUFFER = re.compile(r"transformer\.h\.\d+\.attn\.bias")

_TOY_NAMES = (
    (re.compile(r"^tok_embed\."), "transformer.wte."),
    (re.compile(r"^pos_embed$"), "transformer.wpe.weight"),
    (re.compile(r"^blocks\."), "transformer.h."),
)


@dataclass(slots=True, kw_only=True)
class NanoGPTFamily:
    """A decoder whose features are inferred from its tensors."""

    name: str
    summary: str

    def recognises(self, header: CheckpointHeader) -> bool:
        """Whether the checkpoint is a NanoGPT-style file."""
        return header.ref.format == "nanogpt"

    def build(
        self, header: CheckpointHeader, state: Mapping[str, Tensor] | None, *, device: torch.device
    ) -> Model:
        """The decoder with the tensors of `state`, or a skeleton on the meta device.

        Raises:
            ModelError: a variant that is not read, or tensors that do not fit.
        """
        where = header.ref.uri
        stored = _own_names(header.tensors if state is None else state, where)
        tensors = header.tensors if state is None else state
        shapes = {name: tuple(tensors[own].shape) for name, own in stored.items()}
        tied = _shares_storage(stored, header) if state is None else _holds_same_values(stored, state)
        inferred = infer_decoder(shapes, header.config, tied=tied, where=where)
        with torch.device("meta"):
            module = Decoder(inferred.config)
        expected = {name: tuple(t.shape) for name, t in module.state_dict().items()}
        if inferred.config.tied:
            shapes.setdefault(_HEAD, shapes[_EMBEDDING])
        compare_shapes(header.ref, inferred.variant, found=shapes, expected=expected)
        if state is not None:
            weights = {n: state[own].to(device=device, dtype=torch.float32) for n, own in stored.items()}
            weights.setdefault(_HEAD, weights[_EMBEDDING])
            module.load_state_dict(weights, assign=True)
            module.tie()
        module.eval().requires_grad_(False)  # noqa: FBT003 - torch's own signature
        return _measurable(module, self.name, inferred.variant, inferred.notices, stored)


NANOGPT = NanoGPTFamily(
    name="nanogpt",
    summary="nanoGPT, and the Spectral Lens decoders 3, 4, 4s, 5, 6 with their toy models",
)


def _own_names(names: Iterable[str], where: str) -> dict[str, str]:
    """Name in the decoder -> the checkpoint's own name, causal masks left out."""
    own: dict[str, str] = {}
    for name in names:
        renamed = name
        for pattern, replacement in _TOY_NAMES:
            renamed = pattern.sub(replacement, renamed)
        if _MASK_BUFFER.fullmatch(renamed):
            continue
        if renamed in own:
            raise ModelError(f"{where}: {name} and {own[renamed]} both stand for {renamed}")
        own[renamed] = name
    return own


def _holds_same_values(stored: Mapping[str, str], state: Mapping[str, Tensor]) -> bool:
    """Whether head and embedding are the same matrix, element for element; an absent head is."""
    if _HEAD not in stored or _EMBEDDING not in stored:
        return _HEAD not in stored
    return torch.equal(state[stored[_HEAD]], state[stored[_EMBEDDING]])


def _shares_storage(stored: Mapping[str, str], header: CheckpointHeader) -> bool | None:
    """True where head and embedding are stored once; else None, since copies may hold equal values."""
    sizes = {n: math.prod(t.shape) * t.dtype.itemsize for n, t in header.tensors.items()}
    saved = sum(sizes.values()) - header.num_bytes
    return True if _HEAD in stored and saved == sizes[stored[_HEAD]] else None


def _measurable(
    module: Decoder, family: str, variant: str, notices: tuple[str, ...], stored: Mapping[str, str]
) -> Model:
    config = module.config
    edges, absent = embedding_views(
        module.embedding,
        stored[_EMBEDDING],
        module.lm_head,
        stored.get(_HEAD, _HEAD),
    )
    views = [
        v
        for layer, block in enumerate(module.blocks)
        for v in _block_views(layer, block, config.n_embd, stored)
    ]
    absent |= absent_components(
        views, num_blocks=config.n_layer, reasons={"mlp.gate": "the MLP has no gate"}, otherwise="not there"
    )
    return Model(
        module=module,
        family=family,
        architecture=variant,
        recognised=True,
        width=config.n_embd,
        vocab_size=config.vocab_size,
        max_length=config.num_positions,
        blocks=module.blocks,
        matrices=in_canonical_order((*edges, *views)),
        final_norm=module.transformer["ln_f"],
        trunk=module.trunk,
        head=module.head,
        absent=absent,
        notices=notices,
    )


def _block_views(layer: int, block: nn.Module, width: int, stored: Mapping[str, str]) -> list[MatrixView]:
    parts: list[tuple[str, str, slice | None]] = [
        ("attn.o", "attn.c_proj", None),
        ("mlp.up", "mlp.c_fc", None),
        ("mlp.down", "mlp.c_proj", None),
    ]
    for i, letter in enumerate("qkv"):
        fused = hasattr(block.attn, "c_attn")
        path = "attn.c_attn" if fused else f"attn.c_{letter}"
        parts.append((f"attn.{letter}", path, slice(i * width, (i + 1) * width) if fused else None))
    return [
        MatrixView(
            site=Site(layer=layer, component=component, name=stored[f"transformer.h.{layer}.{path}.weight"]),
            module=block.get_submodule(path),
            rows=rows,
        )
        for component, path, rows in parts
    ]
