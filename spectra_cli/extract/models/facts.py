"""A model's facts: as an archive keeps them, under `model.NAME`; and which of them a user can state."""

from __future__ import annotations

from collections.abc import Mapping

from spectra_cli.core.errors import UnknownNameError
from spectra_cli.core.types import MODEL_FACT
from spectra_cli.core.words.names import did_you_mean, listed
from spectra_cli.extract.models.nanochat.config import SETTINGS as NANOCHAT_SETTINGS
from spectra_cli.extract.models.nanogpt.arguments import KNOWN, SETTINGS
from spectra_cli.extract.protocols import CheckpointHeader, Model


def facts_of(model: Model) -> Mapping[str, str]:
    """`model.NAME` -> value."""
    return {f"{MODEL_FACT}{name}": fact.value for name, fact in model.facts.items()}


def sources_of(model: Model) -> Mapping[str, str]:
    """`model.NAME` -> what says so."""
    return {f"{MODEL_FACT}{name}": fact.source for name, fact in model.facts.items()}


_MOST_NAMED = 40
_OF_ALL = ("dtype", "torch_dtype", "quantization_config")


def require_known(
    said: Mapping[str, str], header: CheckpointHeader, stored: frozenset[str], *, checkpoints: str
) -> None:
    """Nothing, if a model of this kind reads every fact that the user states.

    Args:
        said: name of a fact -> who states it.
        header: of a checkpoint; stored: names in its own configuration.
        checkpoints: the path, for the message.

    Raises:
        UsageError: a fact of another name, with the nearest known one and the list.
    """
    known, to_list = _known(header, stored)
    if known is None:
        return
    for name, where in said.items():
        if name not in known:
            raise UnknownNameError(
                f"{where}: model.{name} is nothing that the model of {checkpoints} depends on"
                f"{did_you_mean(name, sorted(known))}; known: {listed(sorted(to_list), _MOST_NAMED)}"
            )


def _known(header: CheckpointHeader, stored: frozenset[str]) -> tuple[frozenset[str] | None, frozenset[str]]:
    """Names that are read, and those to list; None where only the user's or the model's own code knows."""
    if header.named_as == "nanogpt":
        return KNOWN, frozenset(SETTINGS)
    if header.named_as == "nanochat":
        names = stored | frozenset(NANOCHAT_SETTINGS)
        return names, names
    if header.named_as == "huggingface":
        of_class = _of_class(header.config.get("model_type"))
        return (None if of_class is None else of_class | stored), stored or of_class or frozenset()
    return (stored, stored) if stored else (None, stored)


def _of_class(model_type: object) -> frozenset[str] | None:
    """Attributes of transformers' configuration of this type; None for one that it does not have."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        return None
    kind = CONFIG_MAPPING[model_type]
    names = {*vars(kind()), *kind.attribute_map, *kind().to_dict(), *_OF_ALL}
    return frozenset(name for name in names if not name.startswith("_"))
