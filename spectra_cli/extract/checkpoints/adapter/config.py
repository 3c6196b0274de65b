"""`adapter_config.json`: which low-rank update a PEFT folder holds; other kinds are refused by name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.json_object import read_json_object

ADAPTER_CONFIG = "adapter_config.json"

# Initialisations that also take something out of the base weights, which the adapter does not hold.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
# Settings under which the model is not base + scale B A, or the tensors are laid out in another way.
_NOT_PLAIN = (
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_qalora",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """What a LoRA or DoRA adapter says about itself.

    Attributes:
        path: the file.
        base: name or path of the model it was trained on; empty where none is given. `revision`: of it.
        rank, alpha: where no pattern says otherwise; `rank_pattern`, `alpha_pattern`: by module.
        rank_stabilised: the scale is alpha / sqrt(rank), not alpha / rank.
        has_magnitudes: DoRA.
        fan_in_fan_out: the adapted weights are stored (fan_in, fan_out).
        targets: modules meant to be adapted: names that a path ends with, or one pattern;
            `excludes`: likewise, those left out; `layers`: indices of their blocks, None for all.
    """

    path: Path
    base: str
    revision: str
    rank: int
    alpha: float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    rank_stabilised: bool
    has_magnitudes: bool
    fan_in_fan_out: bool
    targets: tuple[str, ...] | str
    excludes: tuple[str, ...] | str
    layers: tuple[int, ...] | None

    @property
    def method(self) -> str:
        """`LoRA` or `DoRA`."""
        return "DoRA" if self.has_magnitudes else "LoRA"

    def rank_of(self, module: str) -> int:
        """Rank of the update of `module`, a path such as `model.layers.0.self_attn.q_proj`."""
        return self.rank_pattern.get(self._pattern(self.rank_pattern, module), self.rank)

    def scale_of(self, module: str) -> float:
        """What B A is multiplied by: alpha / r, or alpha / sqrt(r) (Kalajdzievski 2023)."""
        alpha = self.alpha_pattern.get(self._pattern(self.alpha_pattern, module), self.alpha)
        rank = self.rank_of(module)
        return alpha / math.sqrt(rank) if self.rank_stabilised else alpha / rank

    def targets_module(self, module: str) -> bool:
        """Whether `target_modules` mean this module."""
        if self._named(self.excludes, module) or not self._named(self.targets, module):
            return False
        index = re.search(r"\.(\d+)\.", module)
        return self.layers is None or index is None or int(index[1]) in self.layers

    def _named(self, names: tuple[str, ...] | str, module: str) -> bool:
        if isinstance(names, str):
            return names not in ("", "all-linear") and self._matches(names, module)
        return any(module == name or module.endswith(f".{name}") for name in names)

    def _pattern(self, patterns: Mapping[str, Any], module: str) -> str:
        """The first pattern that the end of the path matches, as PEFT looks for it."""
        return next((p for p in patterns if self._matches(rf"(.*\.)?({p})", module)), "")

    def _matches(self, pattern: str, module: str) -> bool:
        try:
            return re.fullmatch(pattern, module) is not None
        except re.error as error:
            raise CheckpointError(f"{self.path}: {pattern!r} is no regular expression: {error}") from error


def read_adapter_config(folder: Path) -> AdapterConfig:
    """The configuration of the adapter in `folder`.

    Raises:
        CheckpointError: damaged, or of a kind of adapter that is no low-rank update of weights.
    """
    path = folder / ADAPTER_CONFIG
    content = read_json_object(path)
    _refuse_others(path, content)
    return AdapterConfig(
        path=path,
        base=_value(path, content, "base_model_name_or_path", str, ""),
        revision=_value(path, content, "revision", str, ""),
        rank=_positive(path, "r", content.get("r")),
        alpha=_positive(path, "lora_alpha", content.get("lora_alpha")),
        rank_pattern=_patterns(path, content, "rank_pattern"),
        alpha_pattern=_patterns(path, content, "alpha_pattern"),
        rank_stabilised=_value(path, content, "use_rslora", bool, default=False),
        has_magnitudes=_value(path, content, "use_dora", bool, default=False),
        fan_in_fan_out=_value(path, content, "fan_in_fan_out", bool, default=False),
        targets=_names(path, content, "target_modules"),
        excludes=_names(path, content, "exclude_modules"),
        layers=_layers(content.get("layers_to_transform")),
    )


def _refuse_others(path: Path, content: Mapping[str, Any]) -> None:
    kind = content.get("peft_type")
    if kind != "LORA":
        raise CheckpointError(
            f"{path}: an adapter of type {kind!r}; LORA (LoRA, DoRA, rsLoRA) is what can be measured. "
            "Merge it into its base with PEFT's merge_and_unload where that works, and scan the result"
        )
    strange = [name for name in _NOT_PLAIN if content.get(name)]
    if strange:
        raise CheckpointError(
            f"{path}: sets {', '.join(strange)}, under which the weights are not base + scale B A; "
            "merge it with PEFT and scan the merged model"
        )
    init = str(content.get("init_lora_weights")).lower()
    if init.startswith(_CHANGES_BASE):
        raise CheckpointError(
            f"{path}: init_lora_weights is {init!r}, which changes the base weights as well. Save the "
            "adapter with path_initial_model_for_weight_conversion; or save the changed base, set "
            "init_lora_weights to true, and give that base with --base"
        )


def _value(path: Path, content: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = content.get(name)
    if value is None:
        return default
    if type(value) is not kind:
        raise CheckpointError(f"{path}: {name} is {value!r}; expected {kind.__name__}")
    return value


def _positive(path: Path, name: str, value: Any) -> Any:
    whole = name in ("r", "rank_pattern")
    is_number = not isinstance(value, bool) and isinstance(value, int if whole else (int, float))
    if not is_number or not 0 < value < math.inf:
        kind = "positive whole" if whole else "positive"
        raise CheckpointError(f"{path}: {name} is {value!r}; expected a {kind} number; correct it")
    return value


def _patterns(path: Path, content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    patterns: dict[str, Any] = _value(path, content, name, dict, {})
    return {pattern: _positive(path, name, value) for pattern, value in patterns.items()}


def _names(path: Path, content: Mapping[str, Any], name: str) -> tuple[str, ...] | str:
    value = content.get(name)
    if value is None or isinstance(value, str):
        return value or ()
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise CheckpointError(f"{path}: {name} is {value!r}; expected a list of names or a pattern")
    return tuple(value)


def _layers(value: Any) -> tuple[int, ...] | None:
    if not value and value != 0:
        return None
    return tuple(value) if isinstance(value, list) else (value,)
