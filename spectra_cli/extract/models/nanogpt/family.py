"""The NanoGPT world: Karpathy's nanoGPT, the Spectral Lens variants 3 to 19, and the paper's toy models."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spectra_cli.core.errors import ModelError
from spectra_cli.core.types import Site
from spectra_cli.extract.digest import same_content
from spectra_cli.extract.models.canonical import absent_components, embedding_views, in_canonical_order
from spectra_cli.extract.models.decoder.module import Decoder
from spectra_cli.extract.models.matching import compare_shapes, require_floating
from spectra_cli.extract.models.nanogpt.inference import InferredDecoder, infer_decoder
from spectra_cli.extract.models.nanogpt.structure import Seen
from spectra_cli.extract.protocols import CheckpointHeader, MatrixView, Model

_EMBEDDING, _HEAD = "transformer.wte.weight", "lm_head.weight"
_TOY_EMBEDDING = "tok_embed.weight"
# of the variants from 7 on, whose heads are never tied
_LATE = "transformer.h.0.lambdas"
_NO_ATTENTION = "this block has no attention"

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
        return header.named_as == "nanogpt"

    def build(
        self, header: CheckpointHeader, state: Mapping[str, Tensor] | None, *, device: torch.device
    ) -> Model:
        """The decoder with the tensors of `state`, or a skeleton on the meta device.

        Raises:
            ModelError: a variant that is not read, or tensors that do not fit.
        """
        where = header.ref.uri
        tensors = header.tensors if state is None else state
        stored = _own_names(tensors, where)
        shapes = {name: _shape(name, tensors[own].shape) for name, own in stored.items()}
        inferred = infer_decoder(
            Seen(
                shapes=shapes,
                arguments=header.config,
                where=where,
                sources=header.sources,
                step=header.ref.step,
                tied=_is_tied(stored, header, state),
                value_weights=header.value_weights,
                toy=stored.get(_EMBEDDING) == _TOY_EMBEDDING,
            )
        )
        with torch.device("meta"):
            module = Decoder(inferred.config)
        expected = {name: tuple(t.shape) for name, t in module.state_dict().items()}
        if inferred.config.tied:
            shapes.setdefault(_HEAD, shapes[_EMBEDDING])
        compare_shapes(header.ref, inferred.variant, found=shapes, expected=expected)
        require_floating(header.ref, {own: tensors[own].dtype for own in stored.values()})
        if state is not None:
            weights = {
                name: state[own].to(device=device, dtype=torch.float32).reshape(shapes[name])
                for name, own in stored.items()
            }
            weights.setdefault(_HEAD, weights[_EMBEDDING])
            module.load_state_dict(weights, assign=True)
            module.tie()
        module.eval().requires_grad_(requires_grad=False)
        return _measurable(module, self.name, inferred, stored)


NANOGPT = NanoGPTFamily(
    name="nanogpt",
    summary="nanoGPT, and the Spectral Lens decoders 3 to 19 with their scale and toy models",
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


def _shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in the decoder: FSDP saves the scalar `lamb` as one element."""
    return () if name.endswith(".attn.lamb") and tuple(shape) == (1,) else tuple(shape)


def _is_tied(
    stored: Mapping[str, str], header: CheckpointHeader, state: Mapping[str, Tensor] | None
) -> bool | None:
    """Whether head and embedding are the same matrix, element for element; None where it does not matter.

    Variants 4s, 5 and 6 differ in nothing else. An absent head is the embedding.
    """
    if _EMBEDDING not in stored or _LATE in stored:
        return None
    if _HEAD not in stored:
        return True
    head, embedding = stored[_HEAD], stored[_EMBEDDING]
    if state is not None:
        return same_content(state[head], state[embedding])
    sizes = {n: math.prod(t.shape) * t.dtype.itemsize for n, t in header.tensors.items()}
    if sum(sizes.values()) - header.num_bytes == sizes[head]:
        return True
    return header.tensors[head] == header.tensors[embedding] and header.same_values(head, embedding)


def _measurable(module: Decoder, family: str, inferred: InferredDecoder, stored: Mapping[str, str]) -> Model:
    config = module.config
    head_name = stored.get(_HEAD, _HEAD)
    edges, absent = embedding_views(module.embedding, stored[_EMBEDDING], module.lm_head, head_name)
    blocks = enumerate(module.blocks)
    views = [v for layer, block in blocks for v in _block_views(layer, block, config.n_embd, stored)]
    absent |= absent_components(
        views, num_blocks=config.n_layer, reasons={"mlp.gate": "the MLP has no gate"}, otherwise=_NO_ATTENTION
    )
    return Model(
        module=module,
        family=family,
        architecture=inferred.variant,
        recognised=True,
        width=config.n_embd,
        vocab_size=config.vocab_size,
        max_length=config.num_positions,
        blocks=module.blocks,
        matrices=in_canonical_order((*_value_tables(module, stored), *edges, *views)),
        final_norm=module.transformer["ln_f"],
        trunk=module.trunk,
        head=module.head,
        held_bytes=module.held_bytes,
        kernels=module.kernels,
        absent=absent,
        notices=inferred.notices,
        facts=inferred.facts,
    )


def _value_tables(module: Decoder, stored: Mapping[str, str]) -> list[MatrixView]:
    """The tables that values are mixed with: `value_embed`, or `value_embed.0` to `value_embed.2`."""
    tables = {
        name: part
        for name, part in module.named_modules()
        if name == "transformer.vte" or name.startswith("value_embeds.emb.")
    }
    return [
        MatrixView(
            site=Site(
                layer=None,
                component="value_embed" if name == "transformer.vte" else f"value_embed.{name[-1]}",
                name=stored[f"{name}.weight"],
            ),
            module=table,
            kind="embedding",
        )
        for name, table in tables.items()
    ]


def _block_views(layer: int, block: nn.Module, width: int, stored: Mapping[str, str]) -> list[MatrixView]:
    parts: list[tuple[str, str, slice | None]] = [
        ("mlp.up", "mlp.c_fc", None),
        ("mlp.down", "mlp.c_proj", None),
    ]
    if block.attn is not None:
        parts.append(("attn.o", "attn.c_proj", None))
        fused = hasattr(block.attn, "c_attn")
        for i, letter in enumerate("qkv"):
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
