"""A real `Trainer`: with the callback and without it, it takes the same steps to the last bit."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
from transformers.utils import logging

from spectra_cli.api.callback import callback
from spectra_cli.api.scan import scan
from spectra_cli.api.values.run import open as open_run
from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import ArchiveError, DataError, ModelError, UsageError

VOCAB = 64
TOKENS = np.random.default_rng(1).integers(0, VOCAB, 2048).astype(np.int32)
SMALL = {
    "sequences": 8,
    "gradient_sequences": 8,
    "sequence_length": 8,
    "set": {"scan.num_blocks": 4},
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("probe.npy", TOKENS)
    return tmp_path


def train(*callbacks: Any, folder: str = "runs/a", steps: int = 6, **changes: Any) -> tuple[Any, list[Any]]:
    """A tiny GPT-2 with dropout, and what its trainer logged at every step."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=2, n_positions=32, bos_token_id=0, eos_token_id=0
        )
    )
    ids = torch.from_numpy(np.random.default_rng(2).integers(0, VOCAB, (64, 16)))
    rows = [{"input_ids": row, "labels": row} for row in ids]
    settings = {
        "output_dir": folder,
        "max_steps": steps,
        "save_strategy": "no",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "per_device_train_batch_size": 4,
        "include_num_input_tokens_seen": "all",
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "save_only_model": True,
        "seed": 7,
    }
    resume = changes.pop("resume", None)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the training stack warns about is not under test
        arguments = TrainingArguments(**(settings | changes))
        trainer = Trainer(model=model, args=arguments, train_dataset=rows, callbacks=list(callbacks))
        trainer.train(resume_from_checkpoint=resume)
    logging.set_verbosity(verbosity)
    logged = [(entry["loss"], entry["grad_norm"]) for entry in trainer.state.log_history if "loss" in entry]
    return model, logged


def test_the_training_is_the_same_to_the_last_bit_and_its_checkpoints_are_what_was_measured(numbers_of):
    model, expected = train(folder="plain")
    scanning = callback(2, tokens=TOKENS, **SMALL)
    watched, found = train(scanning, save_strategy="steps", save_steps=2)
    assert found == expected
    assert len(found) == 6
    for one, other in zip(model.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.requires_grad == other.requires_grad
    assert watched.training == model.training
    assert not scanning.listener.failures

    live = open_run("runs/a")
    assert live.checkpoints["step"] == [0, 2, 4, 6]
    assert live.checkpoints["tokens_seen"] == [0, 2 * 64, 4 * 64, 6 * 64]
    assert not any(live.checkpoints["notices"])
    assert open_archive("a.spectra.h5").parts == ()
    saved = open_run(
        scan("runs/a", probe="probe.npy", output="saved.spectra.h5", quiet=True, **SMALL).archive
    )
    assert saved.checkpoints["step"][-3:] == [2, 4, 6]
    for step in (2, 4, 6):
        mine, other = (
            numbers_of(run.series.checkpoint(run.checkpoints["step"].index(step))) for run in (live, saved)
        )
        assert mine["spectra"] == other["spectra"]
        assert mine["scalars"] == other["scalars"]


def test_a_trainer_that_counts_no_tokens_is_said_so():
    options = {"tokens": TOKENS, "measure": "weights", **SMALL}
    train(callback(1, **options), steps=1, include_num_input_tokens_seen="no")
    live = open_run("runs/a")
    assert live.checkpoints["tokens_seen"] == [None, None]
    assert all("include_num_input_tokens_seen" in told for told in live.checkpoints["notices"])


def test_another_training_does_not_get_into_its_archive():
    train(callback(3, tokens=TOKENS, measure="weights", **SMALL), steps=3)
    with pytest.raises(UsageError, match=r"a\.spectra\.h5 holds checkpoints of an earlier training"):
        train(callback(3, tokens=TOKENS, measure="weights", **SMALL), steps=3)
    with pytest.raises(UsageError, match="overwrite=True replaces them"):
        train(callback(3, tokens=TOKENS, measure="weights", **SMALL), folder="other/a", steps=3)
    assert open_run("a.spectra.h5").checkpoints["step"] == [0, 3]
    train(callback(1, tokens=TOKENS, measure="weights", overwrite=True, **SMALL), folder="other/a", steps=1)
    assert open_run("a.spectra.h5").checkpoints["step"] == [0, 1]
    assert open_archive("a.spectra.h5").origins == (str(Path("other/a").absolute()),)


def test_a_resumed_training_goes_on_in_its_archive():
    options = {"tokens": TOKENS, "measure": "weights", **SMALL}
    # saved with its optimiser, so that it can be resumed
    train(callback(2, **options), steps=4, save_strategy="steps", save_steps=2, save_only_model=False)
    scanning = callback(2, **options)
    train(scanning, steps=6, save_only_model=False, resume="runs/a/checkpoint-2")
    assert not scanning.listener.failures
    assert scanning.listener.run.checkpoints["step"] == [0, 2, 4, 6]
    with pytest.raises(ArchiveError, match="is of another scan"):
        train(
            callback(2, **options, layers=[0]), steps=6, save_only_model=False, resume="runs/a/checkpoint-2"
        )


class Breaks:
    """Stands for weights that cannot be measured from a step on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
        from spectra_cli.extract.session import Session

        real = Session.measure

        def measure(session: Any, ref: Any, *rest: Any, **named: Any) -> Any:
            if ref.step == step:
                raise ModelError("its loss is not finite")
            return real(session, ref, *rest, **named)

        monkeypatch.setattr(Session, "measure", measure)


def test_a_step_that_cannot_be_measured_is_told_of_and_the_training_goes_on(monkeypatch, capsys):
    Breaks(monkeypatch, 2)
    scanning = callback(2, tokens=TOKENS, measure="weights", **SMALL)
    _, logged = train(scanning, steps=4)
    assert len(logged) == 4
    assert scanning.listener.failures == {2: "its loss is not finite"}
    assert "step 2 was not measured: its loss is not finite" in capsys.readouterr().err
    run = scanning.listener.run
    assert run.checkpoints["step"] == [0, 4]
    assert any("step2 (its loss is not finite)" in notice for notice in run.notices)


def test_or_it_ends_the_training(monkeypatch):
    Breaks(monkeypatch, 2)
    scanning = callback(2, tokens=TOKENS, measure="weights", on_error="fail", **SMALL)
    with pytest.raises(DataError, match="its loss is not finite"):
        train(scanning, steps=4)
    assert scanning.listener.run.checkpoints["step"] == [0]


def test_what_speaks_against_it_is_said_before_the_first_step():
    for options, told in (
        ({"tokens": TOKENS + VOCAB}, "vocab"),
        ({}, "no tokens: tokens= takes ids"),
        ({"tokens": TOKENS, "layers": [9]}, "layer"),
    ):
        with pytest.raises((DataError, UsageError), match=told):
            train(callback(2, **SMALL, **options), steps=1)


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: callback(0), UsageError, "every is 0"),
        (lambda: callback(1, on_error="ignore"), UsageError, "--on-error ignore"),
        (lambda: callback(1, preset="fast"), UsageError, "there is no preset 'fast'"),
        (lambda: callback(1, steps=5), TypeError, r"callback\(\) got an unexpected keyword argument 'steps'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_at_once(call, error, told):
    with pytest.raises(error, match=told):
        call()
