"""A transformers model from a checkpoint's config and tensors: no hub, no custom code, no random weight.

transformers takes seconds to import, and a NanoGPT scan never needs it: hence the imports inside.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.memory import is_out_of_memory
from spectra_cli.extract.models.matching import require_match
from spectra_cli.extract.models.remote_code import TRUST, is_trusted, named_code, own_class, own_code
from spectra_cli.extract.protocols import CheckpointHeader

# What configuration classes raise over values that make no sense.
_NOT_VALID = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
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
    with _quiet_transformers(), own_code(header):
        config, notices = _read_config(header)
        module, attention, more = _skeleton(header, config)
        if state is not None:
            module = _load(header, type(module), module.config, state, attention=attention)
    module.config.use_cache = False
    module.requires_grad_(requires_grad=False)
    return module.to(device if state is not None else "meta").eval(), notices + more


def _read_config(header: CheckpointHeader) -> tuple[Any, Notices]:
    from huggingface_hub.errors import StrictDataclassError
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
    if quantised := stated.get("quantization_config"):
        method = quantised.get("quant_method", "unnamed") if isinstance(quantised, dict) else "unnamed"
        raise ModelError(f"{where}: quantised weights ({method}) are not read; save it dequantised first")
    try:
        settings = {name: _decoded(value) for name, value in stated.items() if name not in _NOT_ARCHITECTURE}
        config = own(**settings) if own else AutoConfig.for_model(model_type, **settings)
    except (*_NOT_VALID, StrictDataclassError) as error:
        if own:
            raise
        raise ModelError(f"{where}: config.json describes no valid {model_type} model: {error}") from error
    if hasattr(config, "rescale_every"):
        # RWKV halves weights in place at inference, against overflow in half precision
        config.rescale_every = 0
    notices: Notices = ()
    if is_trusted(header):
        notices = (f"code of the checkpoint was run: {named_code(header)}",)
    elif stated.get("auto_map"):
        notices = (f"config.json names code of its own; transformers' own {model_type} was used instead",)
    return config, notices


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

    num_layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    if isinstance(num_layers, int) and num_layers > len(header.tensors) > 0:
        raise ModelError(
            f"{header.ref.uri}: config.json claims {num_layers} layers, and the checkpoint holds "
            f"{len(header.tensors)} tensors: they are of different models"
        )
    own = own_class(header, "AutoModelForCausalLM") if is_trusted(header) else None
    build = own._from_config if own else AutoModelForCausalLM.from_config
    refused: ValueError | None = None
    for attention in ("sdpa", "eager"):
        try:
            with torch.device("meta"):
                module = build(copy.deepcopy(config), attn_implementation=attention, dtype=torch.float32)
        except ValueError as error:
            refused = refused or error
        except _NOT_VALID as error:
            if own:
                raise
            kind = f"{config.model_type} model that can be built"
            raise ModelError(f"{header.ref.uri}: config.json describes no {kind}: {error}") from error
        else:
            # a model without attention refuses the fused one, too
            plain = refused and any(hasattr(config, name) for name in _NUM_HEADS)
            notices = (f"{type(module).__name__} has no fused attention: eager is used",) if plain else ()
            return module, attention, notices
    assert refused is not None  # noqa: S101 - the loop ended so
    if own:
        raise refused
    reason = str(refused).splitlines()[0]
    raise ModelError(f"{header.ref.uri}: no causal language model for {config.model_type!r}: {reason}")


def _load(
    header: CheckpointHeader, cls: type, config: Any, state: Mapping[str, Tensor], *, attention: str
) -> Any:
    """`cls` with the tensors of `state`, through transformers' own renaming and fusing of keys.

    Raises:
        ModelError: anything missing, unexpected or of another shape; a parameter that differs from the
            file after loading.
    """
    # transformers leaves some missing and unexpected keys unreported, and initialises what is missing
    # at random: the step that filters its report is made empty
    strict = type(
        cls.__name__,
        (cls,),
        {"__module__": cls.__module__, "_adjust_missing_and_unexpected_keys": _report_all},
    )
    try:
        module, report = strict.from_pretrained(  # type: ignore[attr-defined]
            None,
            config=config,
            state_dict=dict(state),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            local_files_only=True,
            attn_implementation=attention,
            dtype=torch.float32,
        )
    except RuntimeError as error:
        if is_out_of_memory(error) or is_trusted(header):
            raise
        raise ModelError(
            f"{header.ref.uri}: transformers cannot load it as {cls.__name__}: {error}"
        ) from error
    require_match(
        header.ref,
        cls.__name__,
        missing=report["missing_keys"],
        unexpected=[name for name in report["unexpected_keys"] if not _is_recomputed(name, state)],
        mismatched={
            name: (tuple(found), tuple(expected)) for name, found, expected in report["mismatched_keys"]
        },
    )
    _verify(header, module, state)
    return module


def _report_all(module: nn.Module, report: Any) -> None:
    """Stands in for transformers' filter of the loading report; leaves it whole."""


def _is_recomputed(name: str, state: Mapping[str, Tensor]) -> bool:
    """Whether an unexpected tensor is a buffer that today's code recomputes.

    A mask is a scalar or (1, 1, T, T): a real bias, a vector, never passes for one.
    """
    stored = next((tensor for own, tensor in state.items() if own == name or name.endswith(f".{own}")), None)
    is_vector_bias = name.endswith("bias") and stored is not None and 1 <= stored.ndim < 4
    return _RECOMPUTED.search(name) is not None and not is_vector_bias


def _verify(header: CheckpointHeader, module: Any, state: Mapping[str, Tensor]) -> None:
    """Every parameter that the file holds under the same name has the file's values."""
    prefix = f"{module.base_model_prefix}."
    for name, parameter in module.named_parameters(remove_duplicate=False):
        stored = state.get(name, state.get(name.removeprefix(prefix), state.get(prefix + name)))
        if stored is None or stored.shape != parameter.shape:
            continue  # renamed or fused by transformers, which reports what it could not place
        if not torch.allclose(parameter, stored.to(parameter.dtype), rtol=0, atol=0, equal_nan=True):
            raise ModelError(
                f"{header.ref.uri}: {name} differs from the file after loading; the installed transformers "
                f"does not read this checkpoint faithfully as {type(module).__name__}"
            )


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No bars and no loading report: every finding is an error or a notice here."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
