"""What the commands of the documentation find in their working directory: tiny runs of the pages' names."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from spectra_cli.extract.demo.settings import DemoSettings
from spectra_cli.extract.demo.training import train_run
from tests.builders.doc_blocks import DOCS
from tests.extract.writers.adapters import randomise
from tests.extract.writers.hub import HubCache
from tests.extract.writers.huggingface import CONFIGS, VOCAB, random_model

# to make any scan of these runs one of less than a second; of a repeated option the last one counts
SIZES = ("--sequences", "32", "--gradient-sequences", "32", "--sequence-length", "16")
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 2}
STEPS = (0, 512, 1000)

MY_MODEL = """\
import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


class MyModel(nn.Module):
    def __init__(self, *, vocab_size, width, num_layers):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(num_layers))
        self.unembed = nn.Linear(width, vocab_size, bias=False)

    def forward(self, tokens):
        x = self.tokens(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.unembed(x)
"""


def write_folder(folder: Path) -> None:
    """All runs, probes, logs and settings that a page names."""
    _write_probes(folder)
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder / "tokenizers" / "gpt2")
    _write_run(folder / "runs" / "a", {}, (0, 500, 5000))
    _write_run(folder / "runs" / "llama-small", {}, (500,), tokenizer)
    _write_run(folder / "runs" / "sft", {}, (100, 200))
    _write_model(folder / "models" / "base", {}, 7)
    _write_model(folder / "models" / "llama", {}, 8, tokenizer)
    _write_adapter(folder / "runs" / "llama-lora", folder / "models" / "llama")
    for step in STEPS:
        _write_model(folder / "pythia-70m" / f"step{step}", {}, step, tokenizer)
    # twelve layers: the preset of the paper's protocol measures layers of such models
    settings = DemoSettings(
        n_layer=12,
        n_head=2,
        n_embd=16,
        num_train=16,
        num_validation=16,
        batch_size=2,
        num_steps=2,
        save_steps=(2,),
        save_optimizers=False,
    )
    train_run(folder / "out", recipe="adamw", settings=settings)
    _write_own_model(folder)
    _write_logs(folder)


def fill_cache(cache: HubCache, files: Path) -> None:
    """The models of the hub that the pages name, as a folder of checkpoints of other names holds them."""
    revisions = {
        "EleutherAI/pythia-70m": [f"step{step}" for step in STEPS],
        "allenai/OLMo-2-0425-1B": [f"stage1-step{step}-tokens{step // 100}B" for step in STEPS[1:]],
    }
    for name, names in revisions.items():
        for revision in names:
            step = re.findall(r"step\d+", revision)[0]
            cache.add(name, revision, files / step)


def _write_model(
    folder: Path, changes: dict[str, Any], seed: int, tokenizer: PreTrainedTokenizerFast | None = None
) -> None:
    model = random_model({"model_type": "llama", **CONFIGS["llama"], **SMALL, **changes})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def _write_run(
    folder: Path,
    changes: dict[str, Any],
    steps: tuple[int, ...],
    tokenizer: PreTrainedTokenizerFast | None = None,
) -> None:
    for step in steps:
        checkpoint = folder / f"checkpoint-{step}"
        _write_model(checkpoint, changes, step, tokenizer)
        (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": []}))


def _write_adapter(folder: Path, base: Path) -> None:
    model = random_model({"model_type": "llama", **CONFIGS["llama"], **SMALL})
    model.name_or_path = str(base)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's own
        adapted: Any = peft.get_peft_model(model, config)
        randomise(adapted)  # type: ignore[no-untyped-call]
        adapted.save_pretrained(folder / "checkpoint-100")


def _tokenizer() -> PreTrainedTokenizerFast:
    end = "<eos>"
    words = {f"w{place}": place for place in range(VOCAB - 1)} | {end: VOCAB - 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=end))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end)


def _write_probes(folder: Path) -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, VOCAB - 1, 4000)
    (folder / "data").mkdir()
    header = np.zeros(256, dtype="<i4")
    header[:3] = 20240520, 1, ids.size
    shard = header.tobytes() + ids.astype("<u2").tobytes()
    for name in ("data/val_0.bin", "data/fineweb_val_000000.bin", "val.bin", "validation.bin"):
        (folder / name).write_bytes(shard)
    (folder / "data" / "val.bin").write_bytes(ids.astype("<u2").tobytes())
    np.save(folder / "data" / "val.npy", ids.astype(np.uint16))
    text = " ".join(f"w{one}" for one in ids)
    (folder / "validation.txt").write_text(text)
    (folder / "validation.jsonl").write_text(json.dumps({"text": text}) + "\n")


def _write_own_model(folder: Path) -> None:
    """The builder of the page on own models, its model, and checkpoints of it."""
    page = (DOCS / "how-to" / "scan-your-own-model.md").read_text()
    (folder / "my_run.py").write_text(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0])
    (folder / "my_model.py").write_text(MY_MODEL)
    names: dict[str, Any] = {}
    exec(MY_MODEL, names)  # noqa: S102 - the text above
    run = folder / "runs" / "mine"
    run.mkdir(parents=True)
    for step in (0, 500):
        torch.manual_seed(step)
        module = names["MyModel"](vocab_size=VOCAB, width=16, num_layers=2)
        torch.save({"model": module.state_dict()}, run / f"model_step_{step:06}.pt")


def _write_logs(folder: Path) -> None:
    losses = [(step, 4.0 - step / 10_000) for step in (0, 500, 5000)]
    rows = "".join(f"{step},{loss}\n" for step, loss in losses)
    (folder / "runs" / "a" / "metrics.csv").write_text("step,val_loss\n" + rows)
    (folder / "export.csv").write_text('"Step","big run - dev/nll"\n' + rows)
    page = (DOCS / "how-to" / "write-a-run-file.md").read_text()
    study = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0]
    (folder / "study.toml").write_text(study.replace('layers = "0,3,6-9"', 'layers = "0-1"'))
    (folder / "phases.toml").write_text('[scan]\npool = "last"\n')


def entered(folder: Path, place: Path) -> Path:
    """A new working directory in which everything of a folder is found; what is written there stays there."""
    place.mkdir()
    for entry in folder.iterdir():
        (place / entry.name).symlink_to(entry)
    return place
