"""A transformers model from a checkpoint's config and tensors: no hub, no custom code, no random weight.

transformers takes seconds to import, and a NanoGPT scan never needs it: hence the imports inside.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.claims.ignored_tensors import (
    ignored_notice,
    ignored_on_purpose,
    may_be_missing,
)
from spectra_cli.extract.models.claims.precision import QUANTIZATION, architecture_notices, precision_claims
from spectra_cli.extract.models.claims.remote_code import TRUST, is_trusted, named_code, own_class, own_code
from spectra_cli.extract.models.claims.sizes import (
    require_numbers,
    require_possible_buffers,
    require_possible_counts,
    require_rotation,
)
from spectra_cli.extract.models.claims.tied_embeddings import advice_on_ties, apart_notices, tie_by_values
from spectra_cli.extract.models.matching import META, require_floating, require_match, without_values
from spectra_cli.extract.models.transformers.library_code import library_code, quiet_transformers
from spectra_cli.extract.protocols import CheckpointHeader

# what a config.json may say about *how* to run the model, up to code on a hub: decided here instead
_NOT_ARCHITECTURE = frozenset(
    (
        "_attn_implementation",
        "attn_implementation",
        "_experts_implementation",
        "experts_implementation",
        "auto_map",
        "distributed_config",
        "dtype",
        "fusion_config",
        "kernel_config",
        # one name for each of as many classes as are claimed
        "id2label",
        "label2id",
        "num_labels",
        "model_type",
        "_name_or_path",
        "name_or_path",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
        "torch_dtype",
        "transformers_version",
        "transformers_weights",
        TRUST,
        "use_cache",
        *QUANTIZATION,
    )
)

# buffers that old versions stored and that today's recompute: causal masks and rotary frequencies
_RECOMPUTED = re.compile(
    r"(^|\.)(attn|attention|self_attn)\.((masked_)?bias|causal_mask)$|rotary_emb\.inv_freq$|(^|\.)position_ids$"
)

_NUM_HEADS = ("num_attention_heads", "n_heads", "n_head")

Notices = tuple[str, ...]


def build_module(
    header: CheckpointHeader, state: Mapping[str, Tensor] | None, *, device: torch.device
) -> tuple[Any, Notices]:
    """The causal language model on `device`, in float32, eval, without gradients; on the meta device
    when `state` is None.

    Returns:
        the module and what the user must know about how it was built.

    Raises:
        ModelError: an architecture that transformers does not know, or tensors that do not fit it.
    """
    with quiet_transformers(), own_code(header):
        config, notices = _read_config(header)
        module, attention, more = _skeleton(header, config)
        given = without_values(header.tensors) if state is None else state
        module, ignored = _load(header, type(module), module.config, given, attention=attention)
        if state is None:
            tie_by_values(module, header)
        more += apart_notices(module, header.tensors)
    module.config.use_cache = False
    module.requires_grad_(requires_grad=False)
    more += architecture_notices(header, type(module).__name__)
    return module.to(device if state is not None else "meta").eval(), notices + more + ignored


def _read_config(header: CheckpointHeader) -> tuple[Any, Notices]:
    from transformers import CONFIG_MAPPING, AutoConfig
    from transformers import __version__ as version

    where, stated = header.ref.uri, dict(header.config)
    model_type = stated.get("model_type")
    if not isinstance(model_type, str):
        raise ModelError(
            f"{where}: config.json has no model_type; found {', '.join(sorted(stated)) or 'nothing'}"
        )
    own = own_class(header, "AutoConfig") if is_trusted(header) else None
    if own is None and model_type not in CONFIG_MAPPING:
        code = ""
        if named := named_code(header):
            code = f", and config.json asks for code of its own ({named}), run only with --trust-remote-code"
        raise ModelError(
            f"{where}: model_type {model_type!r} is unknown to transformers {version}{code}; "
            "convert the checkpoint, or install a transformers that knows it"
        )
    buffers = frozenset(
        name for name, tensor in header.tensors.items() if _is_buffer(name, len(tensor.shape))
    )
    notices = precision_claims(header, unread=buffers)
    require_possible_counts(header, stated)
    settings = {name: _decoded(value) for name, value in stated.items() if name not in _NOT_ARCHITECTURE}
    notices += _without_useless_padding(settings)
    if own:
        config = own(**settings)
    else:
        with library_code(where, f"config.json describes no valid {model_type} model"):
            config = AutoConfig.for_model(model_type, **settings)
    if not _is_id(getattr(config, "pad_token_id", None), config.get_text_config().vocab_size):
        config.pad_token_id = None  # the class's own default, for a larger vocabulary
    require_rotation(where, getattr(config, "rope_parameters", None))
    require_numbers(where, settings)
    if hasattr(config, "rescale_every"):
        # RWKV halves weights in place at inference, against overflow in half precision
        config.rescale_every = 0
    if is_trusted(header):
        notices += (f"code of the checkpoint was run: {named_code(header)}",)
    elif stated.get("auto_map"):
        notices += (f"config.json names code of its own; transformers' own {model_type} was used instead",)
    return config, notices


def _without_useless_padding(settings: dict[str, Any]) -> Notices:
    """Take a padding id that is no id of the vocabulary out of the settings: no padding is ever fed."""
    size, found = settings.get("vocab_size"), settings.get("pad_token_id")
    if found is None or not isinstance(size, int) or _is_id(found, size):
        return ()
    del settings["pad_token_id"]
    return (
        f"pad_token_id is {found!r}, and the vocabulary has {size} ids: not used, since no padding is fed",
    )


def _is_id(found: object, vocab_size: int) -> bool:
    """Whether it can be a row of the embedding, from its end for a negative one, or is None: no padding."""
    return found is None or (type(found) is int and -vocab_size <= found < vocab_size)


def _decoded(value: Any) -> Any:
    """A setting with the infinities that transformers writes as `{"__float__": "Infinity"}`."""
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {"__float__"} and value["__float__"] in ("Infinity", "-Infinity", "NaN"):
            return float(value["__float__"])
        return {name: _decoded(item) for name, item in value.items()}
    return value


def _skeleton(header: CheckpointHeader, config: Any) -> tuple[Any, str, Notices]:
    """The module on the meta device, and which attention it runs."""
    from transformers import AutoModelForCausalLM

    own = own_class(header, "AutoModelForCausalLM") if is_trusted(header) else None
    build = own._from_config if own else AutoModelForCausalLM.from_config
    finding = f"config.json describes no {config.model_type} model that can be built"
    refused: ValueError | None = None
    for attention in ("sdpa", "eager"):
        with nullcontext() if own else library_code(header.ref.uri, finding):
            try:
                with META:
                    module = build(copy.deepcopy(config), attn_implementation=attention, dtype=torch.float32)
            except ValueError as error:
                refused = refused or error
                continue
        _require_one_model(module)
        require_possible_buffers(header, module)
        # a model without attention refuses the fused one, too
        plain = refused and any(hasattr(config, name) for name in _NUM_HEADS)
        notices = (f"{type(module).__name__} has no fused attention: eager is used",) if plain else ()
        return module, attention, notices
    assert refused is not None  # noqa: S101 - the loop ended so
    if own:
        raise refused
    reason = str(refused).splitlines()[0]
    raise ModelError(f"{header.ref.uri}: no causal language model for {config.model_type!r}: {reason}")


def _require_one_model(module: Any) -> None:
    """Nothing, if the module is not several models in one.

    Raises:
        ModelError: it is.
    """
    if module.config.get_text_config() is not module.config:
        raise ModelError(
            f"{type(module).__name__} holds several models ({', '.join(module.config.sub_configs)}); "
            "save its text model by itself to scan it"
        )


def _load(
    header: CheckpointHeader, cls: type, config: Any, state: Mapping[str, Tensor], *, attention: str
) -> tuple[Any, Notices]:
    """`cls` with the tensors of `state`, through transformers' own renaming and fusing of keys, and what it
    leaves out of them on purpose. Tensors on the meta device take the same way, so that headers are held
    against the model as the file will be.

    Raises:
        ModelError: anything else missing or unexpected, or of another shape or kind; a parameter that
            differs from the file after loading.
    """
    has_values = not any(tensor.is_meta for tensor in state.values())
    # transformers leaves some missing and unexpected keys unreported, and initialises what is missing
    # at random: the step that filters its report is made empty
    changed = {"__module__": cls.__module__, "_adjust_missing_and_unexpected_keys": _report_all}
    if not has_values:
        changed["_initialize_missing_keys"] = _leave_empty
    strict = type(cls.__name__, (cls,), changed)
    finding = f"transformers cannot load it as {cls.__name__}"
    with nullcontext() if is_trusted(header) else library_code(header.ref.uri, finding):
        module, report = strict.from_pretrained(  # type: ignore[attr-defined]
            None,
            config=config,
            state_dict=dict(state),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            local_files_only=True,
            attn_implementation=attention,
            dtype=torch.float32,
            device_map=None if has_values else {"": META},
        )
    unexpected = {name for name in report["unexpected_keys"] if not _is_recomputed(name, state)}
    ignored = ignored_on_purpose(module, unexpected, state)
    missing = set(report["missing_keys"])
    require_match(
        header.ref,
        cls.__name__,
        missing=missing - may_be_missing(module, missing),
        unexpected=unexpected - ignored,
        mismatched={
            name: (tuple(found), tuple(expected)) for name, found, expected in report["mismatched_keys"]
        },
        advice=advice_on_ties(module, missing),
    )
    require_floating(header.ref, _dtypes_of_weights(module, state, left_out=report["unexpected_keys"]))
    if has_values:
        _verify(header, module, state)
    return module, (ignored_notice(cls.__name__, ignored, header.tensors),) if ignored else ()


def _leave_empty(module: nn.Module, is_quantized: bool) -> None:  # noqa: FBT001 - transformers' signature
    """Stands in for the initialisation of what is missing: on the meta device nothing has values."""


def _report_all(module: nn.Module, report: Any) -> None:
    """Stands in for transformers' filter of the loading report; leaves it whole."""


def _is_recomputed(name: str, state: Mapping[str, Tensor]) -> bool:
    """Whether an unexpected tensor is a buffer that today's code recomputes.

    A mask is a scalar or (1, 1, T, T): a real bias, a vector, never passes for one.
    """
    stored = next((tensor for own, tensor in state.items() if own == name or name.endswith(f".{own}")), None)
    return _is_buffer(name, 0 if stored is None else stored.ndim)


def _is_buffer(name: str, num_dimensions: int) -> bool:
    is_vector_bias = name.endswith("bias") and 1 <= num_dimensions < 4
    return _RECOMPUTED.search(name) is not None and not is_vector_bias


def _dtypes_of_weights(
    module: Any, state: Mapping[str, Tensor], *, left_out: Collection[str]
) -> dict[str, torch.dtype]:
    """By name in the file, without buffers of the module, which may hold indices, and tensors left out."""
    prefix = f"{module.base_model_prefix}."
    others = {*left_out, *(name for name, _ in module.named_buffers())}
    others |= {name.removeprefix(prefix) for name in others}
    return {name: tensor.dtype for name, tensor in state.items() if name not in others}


def _verify(header: CheckpointHeader, module: Any, state: Mapping[str, Tensor]) -> None:
    """Every parameter that the file holds under the same name has the file's values."""
    prefix = f"{module.base_model_prefix}."
    for name, parameter in module.named_parameters(remove_duplicate=False):
        stored = state.get(name, state.get(name.removeprefix(prefix), state.get(prefix + name)))
        if stored is None or stored.shape != parameter.shape:
            continue  # renamed or fused by transformers, which reports what it could not place
        read = stored.to(parameter.dtype)
        # only where it is false, which NaN makes it as well, what costs six times as much
        if not (
            torch.equal(parameter, read) or torch.allclose(parameter, read, rtol=0, atol=0, equal_nan=True)
        ):
            raise ModelError(
                f"{header.ref.uri}: {name} differs from the file after loading; the installed transformers "
                f"does not read this checkpoint faithfully as {type(module).__name__}"
            )
