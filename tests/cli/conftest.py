"""Real `Trainer` runs, an archive to look at, and the command line inside and outside this process."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spectra_cli.__main__ import main
from spectra_cli.archive.reader import open_archive

SMALL = ("--sequences", "8", "--gradient-sequences", "8", "-T", "8")
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")} | {
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "",
}
_SENTENCES = (
    "the spectrum of a covariance falls like a power of the rank",
    "a gradient has as many directions as there are sequences",
    "weights keep what the optimiser wrote, and nothing else",
)


@dataclass(frozen=True)
class Outcome:
    """What one run of the command line left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def spectra(capsys, monkeypatch) -> Callable[..., Outcome]:
    """Run the command line in this process; an exception other than SystemExit fails the test."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["spectra", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        code = caught.value.code
        return Outcome(code if isinstance(code, int) else int(code is not None), out, err)

    return run


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start `python -m spectra_cli` as a process of its own."""

    def popen(*words: object, cwd: Path | None = None, **changes: Any) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        settings = {"stdout": pipe, "stderr": pipe, "text": True, "env": ENVIRONMENT} | changes
        return subprocess.Popen([sys.executable, "-m", "spectra_cli", *map(str, words)], cwd=cwd, **settings)

    return popen


@pytest.fixture(scope="session")
def text_file(tmp_path_factory) -> Path:
    """A text to train on and to probe with."""
    rng = np.random.default_rng(0)
    lines = [_SENTENCES[i] for i in rng.integers(0, len(_SENTENCES), 200)]
    path = tmp_path_factory.mktemp("text") / "probe.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tokenizer(text_file) -> Any:
    """A byte-level BPE tokenizer, trained on the text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train(
        [str(text_file)],
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>", pad_token="<eos>")  # noqa: S106


@pytest.fixture(scope="session")
def trainer_runs(tmp_path_factory, text_file, tokenizer) -> Path:
    """`llama/` in one safetensors file a checkpoint, `gpt2/` sharded: steps 2 and 4, by `Trainer`."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("runs")
    vocabulary = len(tokenizer)
    torch.manual_seed(0)
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=32,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    gpt2 = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary,
            n_embd=24,
            n_layer=3,
            n_head=2,
            n_positions=32,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    gpt2.save_pretrained = partial(gpt2.save_pretrained, max_shard_size="30KB")
    for name, model in (("llama", llama), ("gpt2", gpt2)):
        _train(folder / name, model, tokenizer, text_file)
    return folder


def _train(folder: Path, model: Any, tokenizer: Any, text_file: Path) -> None:
    import torch
    from transformers import Trainer, TrainingArguments

    ids = torch.tensor(tokenizer(text_file.read_text())["input_ids"])
    rows = [{"input_ids": row, "labels": row} for row in ids[: len(ids) // 16 * 16].view(-1, 16)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the training stack warns about is not under test
        logging.disable(logging.WARNING)
        arguments = TrainingArguments(
            output_dir=str(folder),
            max_steps=4,
            save_steps=2,
            eval_steps=2,
            eval_strategy="steps",
            logging_steps=1,
            per_device_train_batch_size=4,
            per_device_eval_batch_size=8,
            include_num_input_tokens_seen="all",
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            save_only_model=True,
            dataloader_pin_memory=False,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=rows[:64],
            eval_dataset=rows[64:72],
            processing_class=tokenizer,
        )
        trainer.train()
        logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory, trainer_runs, text_file, tokenizer) -> Path:
    """The llama run as `run/`, probes for it, and `run.spectra.h5`: a finished scan of a token file."""
    from spectra_cli.core.scan_request import ScanRequest
    from spectra_cli.core.settings import resolve_settings
    from spectra_cli.workflows.scan import scan

    folder = tmp_path_factory.mktemp("pristine")
    shutil.copytree(trainer_runs / "llama", folder / "run")
    shutil.copy(text_file, folder / "probe.txt")
    ids = np.array(tokenizer(text_file.read_text())["input_ids"], dtype=np.uint16)
    np.save(folder / "probe.npy", ids.astype(np.int32))
    settings = resolve_settings(
        "default", {"num_sequences": 8, "num_gradient_sequences": 8, "sequence_length": 8}
    )
    request = ScanRequest(
        checkpoints=str(folder / "run"),
        settings=settings,
        probe=str(folder / "probe.npy"),
        output=folder / "run.spectra.h5",
    )
    scan(request, lambda _: None)
    return folder


@pytest.fixture
def place(pristine, tmp_path, monkeypatch) -> Iterator[Path]:
    """A copy of `pristine` to work in: the working directory."""
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def numbers(archive: Path) -> dict[str, Any]:
    """Every measured number of an archive as bytes: equal means bit for bit."""
    found: dict[str, Any] = {}
    for checkpoint in open_archive(archive):
        key = checkpoint.ref.key
        found[key] = (checkpoint.info.digest, checkpoint.info.tokens_seen, checkpoint.skipped)
        for s in checkpoint.spectra:
            profile = None if s.block_profile is None else s.block_profile.tobytes()
            found[f"{key} {s.measurement} {s.site.address}"] = (
                s.values.tobytes(),
                profile,
                s.block_sizes,
                s.num_samples,
                s.ambient_dim,
                s.zero_threshold,
            )
        for scalar in checkpoint.scalars:
            where = "" if scalar.site is None else scalar.site.address
            found[f"{key} {scalar.measurement} {scalar.name} {where}"] = (
                scalar.value.hex(),
                scalar.delete_one_block.tobytes(),
            )
    return found


@pytest.fixture(scope="session")
def numbers_of() -> Callable[[Path], dict[str, Any]]:
    return numbers
