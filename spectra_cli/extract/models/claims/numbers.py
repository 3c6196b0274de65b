"""Numbers of a configuration that make every activation NaN, refused by their names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from spectra_cli.core.errors import ModelError

# under their many names: rms_norm_eps, layer_norm_epsilon, norm_eps
_EPSILON = re.compile(r"(\w+_)?eps(ilon)?")
# what scores are divided by: before a tanh (attn_logit_softcapping), or its root (query_pre_attn_scalar)
_DIVISOR = re.compile(r"(\w+_)?(softcap|softcapping|soft_cap|pre_attn_scalar)")
# frequencies or positions are divided by them, one number or one a frequency
_FACTOR = re.compile(r"((low|high)_freq_|long_|short_)?factor")


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
