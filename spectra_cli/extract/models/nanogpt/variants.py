"""The variants of the paper's family: what tells them apart beyond their tensors, and how to know which.

A variant adds to the one it starts from, as the paper's ladder does. Sizes, biases, skips, value tables
and attention-free layers show in the tensors and are not repeated here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.nanogpt.arguments import Stated, unstated
from spectra_cli.extract.models.nanogpt.windows import WindowSchedule

MaskKind = Literal["causal", "token", "doc_token", "doc_token_block", "doc_block", "doc_block_long_short"]


# where neither a variant nor anybody says otherwise
_PLAIN = {
    "pos": "rope",
    "rope_dir": "+",
    "rope_table_dtype": "activations",
    "softcap": "none",
    "head": "plain",
    "attn_scale": "default",
    "mask": "causal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What the tensors of a variant do not show.

    Attributes:
        name: as `Model.architecture` has it.
        says: what its code amounts to, in the words in which the user states it.
        softcap_argument: whether the trainer takes the cap's constant from `lm_head_softcap`.
        eps: of every norm; None for torch's own default.
        norm_float32: norms answer in float32 under bfloat16 autocast too.
        schedule: how far a query sees.
    """

    name: str
    says: Mapping[str, Any] = field(default_factory=lambda: _PLAIN)
    softcap_argument: bool = False
    eps: float | None = None
    norm_float32: bool = False
    schedule: WindowSchedule | None = None

    def then(self, name: str, says: Mapping[str, Any] | None = None, **changes: Any) -> Variant:
        """A variant that adds to this one."""
        return replace(self, name=name, says={**self.says, **(says or {})}, **changes)


def _grows(
    rule: Literal["tokens", "blocks", "ceiling"], steps: int, *, by_epochs: bool = False
) -> WindowSchedule:
    return WindowSchedule(rule=rule, warmup_steps=steps, by_epochs=by_epochs)


_NANOGPT = Variant(name="nanoGPT")
_7 = _NANOGPT.then("variant 7 (value mix)", {"softcap": "tanh 30"})
_8 = _7.then("variant 8 (unet)", eps=1e-6, norm_float32=True)
_9 = _7.then(
    "variant 9 (fixed window)", {"mask": "doc_token"}, schedule=WindowSchedule(rule="fixed", window=1024)
)
_10 = _9.then("variant 10 (flex window)", schedule=_grows("tokens", 2000, by_epochs=True))
_11 = _10.then("variant 11 (value token embedding)", schedule=_grows("tokens", 4000))
_12 = _11.then("variant 12 (better window)", {"mask": "doc_token_block"})
_13 = _12.then(
    "variant 13 (sparse embedding)",
    {"mask": "doc_block"},
    schedule=_grows("blocks", 3000),
    softcap_argument=True,
)
_14 = _13.then(
    "variant 14 (truncated rope)",
    {"pos": "rope_trunc", "rope_dir": "-"},
    schedule=_grows("blocks", 3000, by_epochs=True),
)
_15 = _14.then("variant 15 (softcap)", {"softcap": "tanh 15"})
_16 = _15.then("variant 16 (fp8 head)", {"head": "fp8"})
_16ADJ = _16.then("variant 16adj (fp8 head, adjusted window)", schedule=_grows("ceiling", 3000))
_17 = _16ADJ.then(
    "variant 17 (long and short windows)",
    {"mask": "doc_block_long_short"},
    schedule=_grows("ceiling", 2500, by_epochs=True),
)
_18 = _17.then("variant 18 (attention scale)", {"attn_scale": 0.12})
# the toy runner takes the cap's constant, the window and the attention scale from its arguments
_TOY_MIX = _7.then(_7.name, softcap_argument=True)
_TOY_WINDOW = _TOY_MIX.then(
    "toy fixed window",
    {"mask": "token"},
    schedule=WindowSchedule(
        rule="fixed",
        window=8,
        fixed_by="inferred: the toy ablation's usual one, no argument states window_size; "
        "--set model.window_tokens says otherwise",
    ),
)

VARIANTS: Mapping[str, Variant] = {
    "nanoGPT": _NANOGPT,
    "3": Variant(name="variant 3 (baseline)"),
    "4": _NANOGPT.then("variant 4 (rope)", {"rope_dir": "-", "rope_table_dtype": "bfloat16"}),
    "5": Variant(name="variant 4s or 5 (rope, tied)"),
    "6": Variant(name="variant 6 (untied embedding)"),
    "7": _7,
    "8": _8,
    "9": _9,
    "10": _10,
    "11": _11,
    "12": _12,
    "13": _13,
    "14": _14,
    "15": _15,
    "16": _16,
    "16adj": _16ADJ,
    "17": _17,
    "18": _18,
    "19": _18.then("variant 19 (sub learning rates)", {"softcap": "sigmoid 15"}),
    "toy value_mix": _TOY_MIX,
    "toy unet": _TOY_MIX.then("toy unet"),
    "toy fixed_window": _TOY_WINDOW,
    "toy attn_scale": _TOY_WINDOW.then("toy attention scale", {"attn_scale": 0.12}),
}

# How run folders and wandb runs are called; of two that fit one name, the first counts.
_NAMES = (
    ("16adj", r"16_fp8lmhead_win_adj|16_adj_fp8lmhead"),
    ("8", r"8_unet"),
    ("9", r"9_fixed_window"),
    ("10", r"10_flex_window"),
    ("13", r"13_sparse_embe?d"),
    ("14", r"14_truncated_rope"),
    ("15", r"15_softcap"),
    ("16", r"16_fp8lmhead"),
    ("17", r"17_lswa"),
    ("18", r"18_attn_scale"),
    ("19", r"19_sublr"),
    ("toy attn_scale", r"attn_scale"),
    ("toy fixed_window", r"fixed_window"),
    ("toy unet", r"unet"),
)

# The toy runner takes the architecture of the last of these that its `variant` names.
_TOY_STAGES = (
    ("baseline", "3"),
    ("rope", "5"),
    ("untie_embed", "6"),
    ("value_mix", "toy value_mix"),
    ("unet", "toy unet"),
    ("fixed_window", "toy fixed_window"),
    ("attn_scale", "toy attn_scale"),
)

# arguments that one trainer alone has (10's warm-up among 8, 9 and 10 only)
_ARGUMENTS = (
    ("8", "max_device_batch_size"),
    ("9", "window_size"),
    ("10", "muon_warmup_epochs"),
    ("10", "window_warmup_steps"),
    ("17", "matrix_lr"),
    ("19", "adam_lr"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Which variant a checkpoint is, and what says so.

    Attributes:
        key: one of `VARIANTS`; None where nothing tells.
        source: what says so; inferred: whether that is no statement but a name or a telling argument.
        notices: what says otherwise and does not count.
    """

    key: str | None
    source: str = ""
    inferred: bool = False
    notices: tuple[str, ...] = ()


def find_variant(candidates: Sequence[str], stated: Stated, *, uri: str, toy: bool = False) -> Found:
    """Which of the variants with the checkpoint's tensors it is.

    The user's `variant` settles it; then what the run's own files state (a variant, the name of the run or
    its script, arguments that one trainer alone has); then the names of its folders.

    Raises:
        ModelError: the user's `variant` is none of the candidates, or the files contradict themselves.
    """
    notices: list[str] = []
    if (said := stated.values.get("variant")) is not None:
        source, key = stated.source("variant") or "", _key(said, candidates, toy=toy)
        if key is not None:
            return Found(key=key, source=source)
        if "variant" in stated.by_user:
            raise ModelError(
                f"{uri}: variant is {said!r} by {source}; its tensors are those of {_or(candidates)}"
            )
        notices.append(f"variant is {said!r} by {source}; its tensors are those of {_or(candidates)}")
    if len(candidates) == 1:
        return Found(key=candidates[0], source="its tensors", notices=tuple(notices))
    found: dict[str, str] = {}
    for name, value in _texts(stated.values):
        if (key := _key(value, candidates, toy=toy)) is not None:
            found.setdefault(key, f"{name} {value!r} in {stated.source(name)}")
    for key, argument in _ARGUMENTS:
        if key in candidates and argument in stated.values and argument not in stated.by_user:
            found.setdefault(key, f"argument {argument} in {stated.source(argument)}")
    if len(found) > 1:
        evidence = ", ".join(f"{key} ({source})" for key, source in found.items())
        raise unstated(f"{uri}: it seems to be more than one variant: {evidence}", "variant")
    named = {key: part for part in _folders(uri) if (key := _named(part, candidates)) is not None}
    if not found:
        source = f"path {next(iter(named.values()))!r}" if named else ""
        return Found(key=next(iter(named), None), source=source, inferred=True, notices=tuple(notices))
    key, source = next(iter(found.items()))
    for other, part in named.items():
        if other != key:
            notices.append(
                f"variant {key} by {source}, and {other} by the path {part!r}: the former is taken"
            )
    return Found(key=key, source=source, inferred=True, notices=tuple(notices))


def _key(said: object, candidates: Sequence[str], *, toy: bool) -> str | None:
    """The candidate that a statement means: its key, a name that a run goes by, or a stack of toy stages."""
    text = str(said)
    if text in candidates:
        return text
    if toy:
        words = re.split(r"[+,\s]+", text)
        latest = [key for stage, key in _TOY_STAGES if stage in words][-1:]
        return latest[0] if latest and latest[0] in candidates else None
    if text == "4s" and "5" in candidates:
        return "5"
    return _named(text, candidates)


def names_early_variant(arguments: Mapping[str, Any], uri: str) -> bool:
    """Whether a name of the run or of its folders says which of variants 4s, 5 and 6 it is."""
    texts = (*(text for _, text in _texts(arguments)), str(arguments.get("variant", "")), uri)
    return any(
        re.search(r"(?<!\d)(?:4_run_rope|5_muon|6_untie_embed)|untie_embed|^(?:4s|5|6)$", t) for t in texts
    )


def _texts(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Arguments that name a run, its script, or a toy model's stages."""
    names = (
        *("wandb_run_name", "run_name", "model", "stack", "stages", "stage", "features"),
        *("script", "trainer", "code", "code_version"),
    )
    found = [(name, arguments.get(name)) for name in names]
    joined = [(name, "+".join(map(str, v)) if isinstance(v, (list, tuple)) else v) for name, v in found]
    return [(name, value) for name, value in joined if isinstance(value, str)]


def _folders(uri: str) -> list[str]:
    """The innermost folder or file whose name names a variant at all."""
    parts = reversed(re.split(r"[/\\]+", uri))
    return list(islice((part for part in parts if _named(part, tuple(VARIANTS)) is not None), 1))


def _named(text: str, candidates: Sequence[str]) -> str | None:
    matches = (v for v, pattern in _NAMES if v in candidates and re.search(rf"(?<!\d)(?:{pattern})", text))
    return next(matches, None)


def _or(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" or " if names[1:] else "") + names[-1]
