"""What is stated about a decoder, by whom, and which of several statements on one matter counts.

The user's word (`--set`, then `run.toml`) replaces what the run's own files say on the same matter, under
whatever name they say it; every value that lost is named in a notice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spectra_cli.core.errors import ModelError

# Names under which trainers state one and the same thing -> ours, which is the first.
_SAME = (
    ("n_head", "n_heads", "num_heads"),
    ("attn_scale", "attention_scale"),
    ("value_reach", "vte_endpoint_k"),
)
# Different ways to state one matter: a window in either unit, a warm-up in steps or epochs, a cap whole or by
# its constant.
_MATTERS = (
    ("softcap", "lm_head_softcap"),
    ("window_tokens", "window_blocks", "window_size"),
    ("window_warmup_steps", "window_warmup_epochs"),
)
SCHEDULE = ("window_min", "window_max", "window_warmup_steps", "window_warmup_epochs", "epoch_steps")

# What the user may state, in the order in which the documentation names it.
SETTINGS = (
    "variant",
    "n_head",
    "pos",
    "rope_dir",
    "rope_table_dtype",
    "qk_norm",
    "embed_norm",
    "norm_eps",
    "qk_norm_eps",
    "activation",
    "attn_scale",
    "mask",
    "mask_block",
    "eot",
    "window_tokens",
    "window_blocks",
    "window_min",
    "window_max",
    "window_warmup_steps",
    "window_warmup_epochs",
    "epoch_steps",
    "softcap",
    "lm_head_softcap",
    "head",
    "value_reach",
)
# What the tensors show: it may be stated, and has to agree.
SHOWN = (
    "n_layer",
    "n_embd",
    "vocab_size",
    "fused_qkv",
    "attn_proj_bias",
    "tied",
    "x0_mix",
    "value_mix",
    "unet",
    "skip_attn_layer",
)
KNOWN = frozenset((*SETTINGS, *SHOWN, *(name for names in _SAME for name in names)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """Statements that count.

    Attributes:
        values: by our names; sources: name -> what says so; by_user: names that the user states.
        notices: which statements lost against which.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, str] = field(default_factory=dict)
    by_user: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()

    def source(self, *names: str) -> str | None:
        """Who states the first of these that is stated; None where nothing does."""
        return next((self.sources[name] for name in names if name in self.values), None)


def settled(arguments: Mapping[str, Any], sources: Mapping[str, str], *, toy: bool) -> Stated:
    """The statements of files and user, one for each matter.

    Args:
        arguments: as the header has them, the user's over those of the files.
        sources: of the header: `config` for the files' arguments, `config.NAME` for a value from elsewhere.
        toy: whether the names are those of the toy runner, whose window and scale count.
    """
    values = {name: value for name, value in arguments.items() if value is not None}
    own = sources.get("config", "its arguments")
    where = {name: sources.get(f"config.{name}", own) for name in arguments}
    by_user = {name for name in values if is_users_word(where[name])}
    notices: list[str] = []

    def drop(lost: str, kept: str) -> None:
        notices.append(
            f"{kept} is {values[kept]!r} by {where[kept]}, and {lost} {values[lost]!r} by {where[lost]}: the "
            "former is taken"
        )
        del values[lost]

    if toy and "attention_scale" in arguments:
        values.setdefault("attention_scale", "default")
    for names in (*_SAME, *_MATTERS):
        said = sorted((n for n in names if n in values), key=lambda name: name not in by_user)
        for lost in said[1:]:
            if names in _SAME and values[lost] == values[said[0]]:
                del values[lost]
            elif names in _SAME or (said[0] in by_user and lost not in by_user):
                drop(lost, said[0])
        if names in _SAME and said and said[0] != names[0]:
            values[names[0]] = values.pop(said[0])
            where[names[0]] = f"{said[0]} in {where[said[0]]}"
            by_user |= {names[0]} if said[0] in by_user else set()
    if schedule := [name for name in SCHEDULE if name in by_user]:
        for name in ("window_tokens", "window_blocks"):
            if name in values and name not in by_user:
                drop(name, schedule[0])
    size = values.get("window_size")
    if toy and type(size) is int and not {"window_tokens", "window_blocks"} & values.keys():
        # the runner's own rule: a token sees at least itself
        values["window_tokens"], where["window_tokens"] = (
            max(1, size),
            f"window_size in {where['window_size']}",
        )
    return Stated(
        values=values,
        sources={name: where[name] for name in values},
        by_user=frozenset(by_user & values.keys()),
        notices=tuple(notices),
    )


def is_users_word(source: str) -> bool:
    """Whether a source of a header is the user: the command line, or the `run.toml` that he wrote."""
    return source == "--set" or source.endswith("run.toml")


Arguments = Mapping[str, Any]


def unstated(problem: str, *names: str) -> ModelError:
    """The error for something that nothing says: what to state, by its name, and where.

    Args:
        problem: what was found, with the checkpoint it was found in.
        names: of the entries, any of which would settle it.
    """
    words = [f"--set model.{name}=VALUE" for name in names]
    return ModelError(
        f"{problem}; say it with {' or '.join(words)}, in the table [model] of run.toml, or in args.json "
        "beside the checkpoints"
    )


def one_of(arguments: Arguments, name: str, allowed: tuple[str, ...], where: str) -> str | None:
    """The word stated under `name`, None if nothing is.

    Raises:
        ModelError: another word than those allowed.
    """
    value = arguments.get(name)
    if value is not None and value not in allowed:
        raise ModelError(f"{where}: {name} is {value!r}; expected {', '.join(allowed)}")
    return None if value is None else str(value)


def flag(arguments: Arguments, name: str, default: bool, where: str) -> bool:  # noqa: FBT001
    """The truth stated under `name`, else the default.

    Raises:
        ModelError: something else.
    """
    value = arguments.get(name)
    if value is not None and not isinstance(value, bool):
        raise ModelError(f"{where}: {name} is {value!r}; expected true or false")
    return default if value is None else value


def number(arguments: Arguments, name: str, default: float, where: str) -> float:
    """The finite number stated under `name`, else the default.

    Raises:
        ModelError: something else.
    """
    value = arguments.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ModelError(f"{where}: {name} is {value!r}; expected a number")
    return float(value)


def count(arguments: Arguments, name: str, where: str) -> int | None:
    """The positive integer stated under `name`, None if nothing is.

    Raises:
        ModelError: something else.
    """
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(f"{where}: {name} is {value!r}; expected a positive integer")
    return value
