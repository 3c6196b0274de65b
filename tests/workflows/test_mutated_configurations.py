"""A setting of config.json changed at a time: no traceback, and `inspect` ends as `scan` does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from spectra_cli.core.errors import SpectraError
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import ScanSettings
from spectra_cli.workflows.inspect import inspect
from spectra_cli.workflows.scan import scan
from tests.extract.writers.huggingface import CONFIGS, random_model
from tests.extract.writers.mixtures import CONFIGS as MIXTURES

SETTINGS = ScanSettings(
    measurements=("activation_covariance",), num_sequences=4, sequence_length=8, num_blocks=2, layers="0"
)
# what is known when the model is run with its weights, and from no header
RUN = ("later tokens change earlier positions", "could not be told from its trunk")
REMOVED = object()
VALUES = (None, -1, 0, 10**15, 2**62, float("inf"), 0.37, "x", "", [1], {"a": 1}, REMOVED)


def mutations(config: Mapping[str, Any], *, every: int) -> Iterator[tuple[str, object, dict[str, Any]]]:
    """Each setting with each value; of these each `every`-th."""
    pairs = [(name, value) for name in config for value in VALUES]
    for name, value in pairs[::every]:
        changed = {**config, name: value}
        if value is REMOVED:
            del changed[name]
        yield name, "removed" if value is REMOVED else value, changed


def ends(folder: Path) -> list[tuple[int, str]]:
    """Exit code and message of `inspect` and of `scan`."""

    def inspected() -> None:
        refusal = inspect(ScanRequest(checkpoints=str(folder), settings=SETTINGS, probe="synthetic")).refusal(
            skip_errors=False
        )
        if refusal is not None:
            raise refusal

    def scanned() -> None:
        archive = folder.parent / "out.h5"
        request = ScanRequest(
            checkpoints=str(folder), settings=SETTINGS, probe="synthetic", output=archive, overwrite=True
        )
        scan(request, lambda _: None)

    found = []
    for command in (inspected, scanned):
        try:
            command()
            found.append((0, ""))
        except SpectraError as error:
            found.append((error.exit_code, str(error)))
    return found


def differences(model_type: str, folder: Path, *, every: int) -> list[str]:
    """The mutations on which the two commands disagree; anything but a `SpectraError` ends the test."""
    config = {**CONFIGS, **MIXTURES}[model_type]
    random_model({"model_type": model_type, **config}).save_pretrained(folder)
    path = folder / "config.json"
    wrong = []
    for name, value, changed in mutations(json.loads(path.read_text()), every=every):
        path.write_text(json.dumps(changed))
        inspected, scanned = ends(folder)
        told_by_running = inspected == (0, "") and scanned[0] == 3 and any(w in scanned[1] for w in RUN)
        if inspected != scanned and not told_by_running:
            wrong.append(f"{name} = {value!r}: inspect ends with {inspected}, scan with {scanned}")
    return wrong


# a prime number, so that the values come in turns
@pytest.mark.parametrize("model_type", ["llama", "gpt2", "mixtral"])
def test_some_mutations(model_type, tmp_path):
    assert not differences(model_type, tmp_path / "model", every=61)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "model_type",
    [
        "llama",
        "gpt2",
        "mixtral",
        "gemma2",
        "phi3",
        "falcon",
        "codegen",
        "opt",
        "bloom",
        "deepseek_v3",
        "gpt_oss",
    ],
)
def test_every_mutation(model_type, tmp_path):
    assert not differences(model_type, tmp_path / "model", every=1)


@pytest.mark.parametrize(
    ("model_type", "name", "value", "said"),
    [
        ("gpt2", "n_head", -1, "n_head is -1; expected a count"),
        ("llama", "model_type", ["llama"], "config.json has no model_type"),
        ("llama", "max_position_embeddings", -5, "says -5 positions; expected at least 2"),
        ("llama", "max_position_embeddings", 0, "says 0 positions; expected at least 2"),
        (
            "mixtral",
            "num_experts_per_tok",
            10**15,
            "experts, and the model has 6",
        ),
        ("mixtral", "num_experts_per_tok", -1, "a token takes -1 experts"),
        ("deepseek_v3", "num_experts_per_tok", None, "a token takes None experts"),
    ],
)
def test_what_inspect_tells_without_running_the_model(model_type, name, value, said, tmp_path):
    config = {**CONFIGS, **MIXTURES}[model_type]
    random_model({"model_type": model_type, **config}).save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    inspected, scanned = ends(tmp_path / "model")
    assert inspected == scanned
    assert inspected[0] == 3
    assert said in inspected[1]


@pytest.mark.parametrize(
    ("model_type", "change"), [("gemma2", {"sliding_window": None}), ("deepseek_v3", {"n_group": 0})]
)
def test_what_running_the_model_raises_is_one_failed_checkpoint(model_type, change, tmp_path):
    config = {**CONFIGS, **MIXTURES}[model_type]
    for step in (1, 2):
        random_model({"model_type": model_type, **config}).save_pretrained(
            tmp_path / f"run/checkpoint-{step}"
        )
    path = tmp_path / "run" / "checkpoint-2" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    request = ScanRequest(
        checkpoints=str(tmp_path / "run"),
        settings=SETTINGS,
        probe="synthetic",
        output=tmp_path / "out.h5",
        skip_errors=True,
    )
    result = scan(request, lambda _: None)
    assert [ref.step for ref in result.measured] == [1]
    ((ref, reason),) = result.failed
    assert ref.step == 2
    assert f"config.json describes no {model_type} model that can be run: " in reason
