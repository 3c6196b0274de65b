"""Numbers of a configuration that cannot be: more than the file holds, or such as make activations NaN.

They are refused by their names, before memory or time is spent on them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from torch import nn

from spectra_cli.core.errors import ContradictionError, ModelError
from spectra_cli.core.words.plurals import counted
from spectra_cli.extract.memory import in_gib
from spectra_cli.extract.protocols import CheckpointHeader

# constructors loop over these; `max_window_layers` and the like are no counts of what is built
_LAYERS = re.compile(r"(n|num|num_hidden|num_decoder|num_encoder|decoder|encoder|num_nextn_predict)_layers?")
_PARTS = re.compile(r"\w*(experts|blocks|heads?)")
# causal masks and rotary tables, which no file needs to hold
_MOST_COMPUTED_BYTES = 1 << 30
# under their many names: rms_norm_eps, layer_norm_epsilon, norm_eps
_EPSILON = re.compile(r"(\w+_)?eps(ilon)?")
# what scores are divided by: before a tanh (attn_logit_softcapping), or its root (query_pre_attn_scalar)
_DIVISOR = re.compile(r"(\w+_)?(softcap|softcapping|soft_cap|pre_attn_scalar)")
# frequencies or positions are divided by them, one number or one a frequency
_FACTOR = re.compile(r"((low|high)_freq_|long_|short_)?factor")


def require_possible_counts(header: CheckpointHeader, stated: Mapping[str, Any]) -> None:
    """Nothing, if the file has tensors enough for the layers, and numbers enough for the parts.

    Raises:
        ModelError: the configuration is of a larger model.
    """
    if not header.tensors:
        return
    largest = max(math.prod(tensor.shape) for tensor in header.tensors.values())
    for name, value in stated.items():
        if not isinstance(value, int | float):
            continue
        if value < 0 and (_LAYERS.fullmatch(name) or _PARTS.fullmatch(name)):
            raise ModelError(
                f"{header.ref.uri}: config.json says {name} is {value}; expected a count; correct it"
            )
        if _LAYERS.fullmatch(name) and value > len(header.tensors):
            raise ContradictionError(
                f"{header.ref.uri}: config.json claims {value} layers, and the checkpoint holds "
                f"{counted(len(header.tensors), 'tensor')}: they are of different models; put that "
                "of this checkpoint there"
            )
        if _PARTS.fullmatch(name) and value > max(largest, 1):
            raise ContradictionError(
                f"{header.ref.uri}: config.json says {name} is {value}, and the largest tensor of the "
                f"checkpoint has {largest} numbers: they are of different "
                "models; put that of this checkpoint there"
            )


def require_possible_buffers(header: CheckpointHeader, module: nn.Module) -> None:
    """Nothing, if what the model computes for itself takes at most a gibibyte and four times its file.

    Raises:
        ModelError: it takes more, with the largest part.
    """
    held = header.tensors.keys()
    computed = {name: buffer.nbytes for name, buffer in module.named_buffers() if name not in held}
    total = sum(computed.values())
    if total > _MOST_COMPUTED_BYTES + 4 * header.loaded_bytes:
        name = max(computed, key=lambda own: computed[own])
        raise ContradictionError(
            f"{header.ref.uri}: the model that config.json describes computes {in_gib(total)} of tables that "
            f"no file holds, such as {name}, beside {in_gib(header.loaded_bytes)} of weights: its number of "
            "positions is not that of these weights"
        )


def require_rotation(where: str, stated: object) -> None:
    """Nothing, if rotary frequencies, one set for all layers or one a kind of layer, are numbers.

    Raises:
        ModelError: a base without powers, or a factor that nothing can be divided by.
    """
    if not isinstance(stated, Mapping):
        return
    base = stated.get("rope_theta", 1)
    if not _is_above_zero(base):
        raise ModelError(f"{where}: rope_theta is {base!r}; expected a finite number above 0; correct it")
    for name, own in stated.items():
        if isinstance(own, Mapping):
            require_rotation(where, own)
        elif own is not None and _FACTOR.fullmatch(str(name)):
            wrong = [one for one in (own if isinstance(own, list) else [own]) if not _is_above_zero(one)]
            if wrong:
                raise ModelError(
                    f"{where}: {name} of its rotary positions is {wrong[0]!r:.40}; expected a finite number "
                    "above 0; correct it"
                )


def require_numbers(where: str, settings: Mapping[str, Any]) -> None:
    """Nothing, if every epsilon of a norm can be added to a variance, and scores be divided by every divisor.

    Raises:
        ModelError: one is out of range or no number.
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            require_numbers(where, value)
        elif isinstance(value, bool):
            continue  # a switch
        elif isinstance(value, int | float) and _DIVISOR.fullmatch(name) and not _is_above_zero(value):
            raise ModelError(f"{where}: {name} is {value!r}; expected a finite number above 0, or null")
        elif isinstance(value, int | float) and _EPSILON.fullmatch(name) and not 0 <= value < math.inf:
            raise ModelError(f"{where}: {name} is {value!r}; expected a finite number from 0 on; correct it")


def _is_above_zero(number: object) -> bool:
    return isinstance(number, int | float) and 0 < number < math.inf


_NUM_LISTED = 20


def layers_apart(names: Collection[str], in_layer: re.Pattern[str], *, stated: int) -> str:
    """The tensors that are missing or unexpected in words; empty where the layers are as many as stated.

    Args:
        names: of all tensors; those of layers are numbered from 0 on, without a gap.
        in_layer: matches a tensor of a layer: what stands before its number, the number, and the rest.
        stated: layers of the whole model; may be any number, since nothing loops over it.

    >>> layers_apart(["h.0.w", "h.1.w", "head"], re.compile(r"(h\\.)(\\d+)(\\..+)"), stated=4)
    '2 missing: h.2.w, h.3.w'
    """
    numbered = [match for name in sorted(names) if (match := in_layer.fullmatch(name))]
    found = len({int(match[2]) for match in numbered})
    if stated < found:
        beyond = [match[0] for match in numbered if int(match[2]) >= stated]
        return _listed("unexpected", len(beyond), beyond)
    first = [(match[1], match[3]) for match in numbered if int(match[2]) == 0]
    lost = (f"{before}{layer}{rest}" for layer in range(found, stated) for before, rest in first)
    return _listed("missing", (stated - found) * len(first), list(islice(lost, _NUM_LISTED)))


def _listed(what: str, number: int, names: list[str]) -> str:
    more = f" and {number - _NUM_LISTED} more" if number > _NUM_LISTED else ""
    return f"{number} {what}: {', '.join(names[:_NUM_LISTED])}{more}" if number else ""
