"""Where the tensors of an adapter belong in its base, from names and shapes alone.

PEFT names an adapted matrix by the path of its module (`base_model.model.` in front, `lora_A.weight`,
`lora_B.weight`, `lora_magnitude_vector` behind; `lora_embedding_A`, `lora_embedding_B` for an
embedding) and whole tensors (`modules_to_save`, biases) by the path of the parameter.
Shape suffixes: r rank, O fan_out, I fan_in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.words.names import listed
from spectra_cli.extract.checkpoints.adapter.config import AdapterConfig
from spectra_cli.extract.protocols import TensorHeader

_PREFIX = "base_model.model."
_LORA = re.compile(
    r"(?P<module>.+)\.lora_(?:(?P<embedding>embedding_)?(?P<role>[AB])(?:\.default)?(?P<of>\.weight|\.bias)?"
    r"|magnitude_vector(?:\.default)?(?:\.weight)?)"
)
_WRAPPED = re.compile(r"\.base_layer(?=\.)|\.modules_to_save(?:\.default)?(?=\.)")
# transformers' models whose blocks store weights (fan_in, fan_out): `Conv1D`
_CONV1D = frozenset({"gpt2", "openai-gpt"})
_EMBEDS = frozenset({"embed_tokens", "wte", "embed_in", "word_embeddings", "tokens_embed"})
_HEADS = frozenset({"lm_head", "embed_out"})
MOST_NAMED = 8

Headers = Mapping[str, TensorHeader]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptedMatrix:
    """One matrix of the base and the adapter's tensors for it, by name.

    Attributes:
        module: path in the model; `parameter`: name of its weight in the base.
        a, b: (r, I) and (O, r); `magnitude`: (O,), empty for LoRA; `bias`: of the map B, mostly empty.
        flipped: the weight is stored as (B A)^T would be.
        scale: see `AdapterConfig.scale_of`.
    """

    module: str
    parameter: str
    a: str
    b: str
    magnitude: str
    bias: str
    flipped: bool
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Every tensor of an adapter with its place.

    Attributes:
        adapted: matrices that get a low-rank update.
        replaced: name in the base -> tensor of the adapter that takes its place.
        copies: name that the base lacks -> the tied tensor that it starts from, before the update of
            either sets them apart.
        untouched: modules that the configuration means, but that have no tensors.
    """

    adapted: tuple[AdaptedMatrix, ...]
    replaced: Mapping[str, str]
    copies: Mapping[str, str]
    untouched: tuple[str, ...]


def place(config: AdapterConfig, tensors: Headers, base: Headers, *, model_type: str) -> Placement:
    """The place of every tensor.

    Args:
        config: of the adapter.
        tensors: of the adapter; base: of the model under it.
        model_type: of the base's configuration; empty where it has none.

    Raises:
        CheckpointError: a tensor without a place, a half of a pair that is missing, a wrong shape.
    """
    if not tensors:
        raise CheckpointError(f"{config.path.parent}: the adapter holds no tensors; save it again")
    modules, whole = _sorted_out(config, tensors)
    copies = copies_to_untie((*modules, *(path.removesuffix(".weight") for path in whole)), base)
    base = {**base, **{name: base[source] for name, source in copies.items()}}
    paths = {**{module: f"{module}.weight" for module in modules}, **{path: path for path in whole}}
    found = {key: stored_name(path, base) for key, path in paths.items()}
    strangers = [whole.get(key, f"{key} (LoRA)") for key, name in found.items() if name is None]
    if strangers:
        raise CheckpointError(
            f"{config.path.parent}: {len(strangers)} of the adapter's tensors have no place in the base: "
            f"{listed(strangers, MOST_NAMED)}. It was trained on another model: name the right one with "
            "--base"
        )
    places = {key: name for key, name in found.items() if name is not None}
    replaced = {places[path]: name for path, name in whole.items()}
    base = {**base, **{name: tensors[tensor] for name, tensor in replaced.items()}}
    for module, parts in modules.items():
        _require_pair(config, module, parts)
    adapted = tuple(
        _adapted(config, module, parts, places[module], tensors, base, model_type)
        for module, parts in modules.items()
    )
    matrices = [name for name, header in base.items() if len(header.shape) == 2]
    rest = [name for name in matrices if name not in {*replaced, *(m.parameter for m in adapted)}]
    untouched = tuple(name for name in rest if config.targets_module(name.removesuffix(".weight")))
    return Placement(adapted=adapted, replaced=replaced, copies=copies, untouched=untouched)


def stored_name(path: str, base: Headers) -> str | None:
    """The tensor of `base` that the model knows as `path`: models saved without their head lack the
    first part of each name (`transformer.`), adapters of bare decoders lack it themselves.
    """
    if path in base:
        return path
    shorter = path.partition(".")[2]
    if shorter in base:
        return shorter
    longer = [name for name in base if name.endswith(f".{path}")]
    return longer[0] if len(longer) == 1 else None


def copies_to_untie(modules: Iterable[str], base: Headers) -> dict[str, str]:
    """The output embedding that a tied base does not store, and the embedding it is a copy of, if the
    adapter has something for one of the two; else nothing.

    PEFT adapts or retrains the one and leaves the other: the model that was trained is no longer tied. Where
    it does the same to both (`ensure_weight_tying`), `still_tied` finds out from the values.
    """
    edges = {part: module for module in modules if (part := module.rpartition(".")[2]) in _EMBEDS | _HEADS}
    embeds = [name for name in base if _module_name(name) in _EMBEDS]
    stored_heads = [name for name in base if _module_name(name) in _HEADS]
    if not edges or stored_heads or len(embeds) != 1:
        return {}
    head = next((f"{module}.weight" for part, module in edges.items() if part in _HEADS), "lm_head.weight")
    return {head: embeds[0]}


def is_embedding(parameter: str) -> bool:
    """Whether this is the weight of an input or output embedding, by its name."""
    return parameter.endswith(".weight") and _module_name(parameter) in _EMBEDS | _HEADS


def _module_name(parameter: str) -> str:
    return parameter.removesuffix(".weight").rpartition(".")[2]


def _sorted_out(config: AdapterConfig, tensors: Headers) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Module -> role -> tensor name, and parameter path -> name of a whole tensor."""
    modules: dict[str, dict[str, str]] = {}
    whole: dict[str, str] = {}
    foreign = sorted(name for name in tensors if not name.startswith(_PREFIX))
    if foreign:
        raise CheckpointError(
            f"{config.path.parent}: tensors {listed(foreign, MOST_NAMED)} do not begin with {_PREFIX!r}; "
            "expected what PEFT's save_pretrained writes"
        )
    for name in tensors:
        path = name.removeprefix(_PREFIX)
        if match := _LORA.fullmatch(path):
            role = match["role"] or "magnitude"
            role += ".bias" if match["of"] == ".bias" else ""
            parts = modules.setdefault(match["module"], {})
            parts[role] = name
            if match["embedding"]:
                parts["embedding"] = name
        else:
            whole[_WRAPPED.sub("", path)] = name
    return modules, whole


def _require_pair(config: AdapterConfig, module: str, parts: Mapping[str, str]) -> None:
    wanted = ("A", "B", "magnitude") if config.has_magnitudes else ("A", "B")
    missing = [_TENSOR[role] for role in wanted if role not in parts]
    if missing:
        raise CheckpointError(
            f"{config.path.parent}: {module} has no {', '.join(missing)}; found {', '.join(parts.values())}. "
            "The adapter is half-written: save it again"
        )
    if "magnitude" in parts and not config.has_magnitudes:
        raise CheckpointError(
            f"{config.path.parent}: {module} has a {_TENSOR['magnitude']}, but use_dora is not set in "
            f"{config.path.name}: tensors and configuration are of different adapters"
        )


_TENSOR = {"A": "lora_A", "B": "lora_B", "magnitude": "lora_magnitude_vector"}


def _adapted(
    config: AdapterConfig,
    module: str,
    parts: Mapping[str, str],
    parameter: str,
    tensors: Headers,
    base: Headers,
    model_type: str,
) -> AdaptedMatrix:
    a, b = tensors[parts["A"]].shape, tensors[parts["B"]].shape
    found = base[parameter]
    rank = config.rank_of(module)
    where = f"{config.path.parent}: {module}"
    if not found.dtype.is_floating_point or found.dtype.itemsize < 2:
        raise CheckpointError(
            f"{where}: the base stores it quantised ({found.dtype}); name the unquantised base with --base"
        )
    if len(a) != 2 or len(b) != 2 or a[0] != b[1]:
        raise CheckpointError(f"{where}: lora_A is {a} and lora_B {b}; expected (r, fan_in) and (fan_out, r)")
    if a[0] != rank:
        raise CheckpointError(
            f"{where}: lora_A is {a}, of rank {a[0]}; {config.path.name} says rank {rank}: "
            "tensors and configuration are of different adapters"
        )
    straight, flipped = (b[0], a[1]), (a[1], b[0])
    if found.shape not in (straight, flipped):
        raise CheckpointError(
            f"{where}: B A is {straight}, the base's {parameter} {found.shape}: "
            "the adapter is of another model, name the right one with --base"
        )
    is_flipped = found.shape == flipped
    if straight == flipped:
        # A square matrix does not tell. PEFT goes by the module's class, and writes what it saw last.
        in_block = re.search(r"\.\d+\.", parameter) is not None
        conv1d = model_type in _CONV1D and in_block if model_type else config.fan_in_fan_out
        is_flipped = conv1d or "embedding" in parts
    magnitude = parts.get("magnitude", "")
    if magnitude and tensors[magnitude].shape != (b[0],):
        raise CheckpointError(f"{where}: {magnitude} is {tensors[magnitude].shape}; expected ({b[0]},)")
    return AdaptedMatrix(
        module=module,
        parameter=parameter,
        a=parts["A"],
        b=parts["B"],
        magnitude=magnitude,
        bias=parts.get("B.bias", ""),
        flipped=is_flipped,
        scale=config.scale_of(module),
    )
