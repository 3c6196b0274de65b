"""What is odd about a series, each case made on disk and named before a weight is read."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.series.hygiene import read_headers, series_notices
from spectra_cli.extract.series.opened import open_series
from tests.extract.writers.gguf import make_llama, write_llama


def save(folder: Path, *, dtype: torch.dtype = torch.float32, **changes) -> None:
    config = {
        "vocab_size": 64,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "tie_word_embeddings": False,
    }
    LlamaForCausalLM(LlamaConfig(**(config | changes))).to(dtype).save_pretrained(folder)


@pytest.fixture
def run(tmp_path):
    for step in (10, 20):
        save(tmp_path / f"checkpoint-{step}")
    return tmp_path


def notices(run: Path) -> tuple[str, ...]:
    return series_notices(read_headers(open_series(str(run))))


def test_a_healthy_series_has_none(run):
    for step in (10, 20):  # tokenizers that differ in how they cut a text are the same tokenizer
        tokenizer = {"model": {"vocab": {"a": 0}}, "truncation": {"max_length": step}}
        (run / f"checkpoint-{step}" / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert notices(run) == ()


def test_rows_without_a_step_say_what_they_are(run):
    shutil.copytree(run / "checkpoint-10", run / "final")
    assert notices(run) == ("no step is known of final: neither its name nor a file in it says it",)
    for name in ("best", "first", "other"):
        shutil.copytree(run / "checkpoint-10", run / name)
    assert notices(run) == (
        "no step is known of best, final, first and 1 more: neither names nor files say it",
    )


def test_a_folder_called_final_is_not_the_run_folder_itself(run):
    shutil.copytree(run / "checkpoint-20", run / "final")
    (run / "final" / "trainer_state.json").write_text(json.dumps({"global_step": 20}))
    headers = read_headers(open_series(str(run)))
    assert [ref.key for ref in headers] == ["step10", "step20-checkpoint-20", "step20-final"]
    said = [notice for header in headers.values() for notice in header.notices]
    assert not [notice for notice in (*said, *notices(run)) if "run folder" in notice]


def test_one_checkpoint_alone_needs_no_step(run):
    assert notices(run / "checkpoint-10") == ()
    assert notices((run / "checkpoint-10").rename(run.parent / "alone")) == ()


def test_a_half_written_checkpoint(run):
    file = run / "checkpoint-20" / "model.safetensors"
    os.truncate(file, file.stat().st_size // 2)
    (notice,) = notices(run)
    assert notice.startswith("step20 cannot be read: ")
    assert "model.safetensors" in notice
    headers = read_headers(open_series(str(run)))
    assert [isinstance(header, CheckpointError) for header in headers.values()] == [False, True]


def test_a_step_that_contradicts_its_folder(run):
    (run / "checkpoint-20" / "trainer_state.json").write_text(json.dumps({"global_step": 15}))
    assert notices(run) == ("step20: checkpoint-20 is named after step 20 and says step 15 inside",)


def test_a_file_that_contradicts_its_name(tmp_path):
    state = {"model": {"w": torch.zeros(2)}, "iter_num": 7, "model_args": {}}
    torch.save(state, tmp_path / "ckpt_5.pt")
    from spectra_cli.extract.checkpoints.registry import find_source

    source = find_source(str(tmp_path))
    (ref,) = source.refs()
    (notice,) = series_notices({ref: source.header(ref)})
    assert notice == "step7: ckpt_5.pt is named after step 5 and says step 7 inside"


def test_links_to_the_same_files(run):
    (run / "checkpoint-30").mkdir()
    for file in (run / "checkpoint-20").iterdir():
        os.link(file, run / "checkpoint-30" / file.name)
    os.symlink(run / "checkpoint-10", run / "checkpoint-40")
    assert notices(run) == (
        "step10, step40 are links to the same weight files",
        "step20, step30 are links to the same weight files",
    )


def test_another_architecture(run):
    save(run / "checkpoint-30", vocab_size=80)
    save(run / "checkpoint-40", vocab_size=80, num_hidden_layers=1)
    shapes, configuration, gone, fewer = notices(run)
    assert shapes.startswith("the architecture changes from step20 to step30: 2 shapes differ: ")
    assert "lm_head.weight 64 x 16 -> 80 x 16" in shapes
    assert configuration == "the configuration changes from step20 to step30: vocab_size 64 -> 80"
    assert gone.startswith("the architecture changes from step30 to step40: 9 tensors are gone: ")
    assert "num_hidden_layers 2 -> 1" in fewer


def test_a_setting_that_no_shape_shows(run):
    save(run / "checkpoint-30", rms_norm_eps=1e-5)
    (notice,) = notices(run)
    assert "rms_norm_eps 1e-06 -> 1e-05" in notice


def test_another_precision(run):
    save(run / "checkpoint-30", dtype=torch.bfloat16)
    assert notices(run) == ("the stored precision changes from step20 to step30: float32 -> bfloat16",)


def test_another_tokenizer(run):
    shutil.copytree(run / "checkpoint-20", run / "checkpoint-30")  # without one: nothing to compare
    for step, words in ((10, {"a": 0}), (20, {"a": 0}), (30, {"b": 0})):
        tokenizer = {"model": {"vocab": words}}
        (run / f"checkpoint-{step}" / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "the tokenizer changes from step20 to step30: tokenizer.json" in notices(run)


def test_a_checkpoint_without_a_tokenizer_has_that_of_its_run(run):
    for place, words in ((run, {"a": 0}), (run / "checkpoint-20", {"b": 0})):
        (place / "tokenizer.json").write_text(json.dumps({"model": {"vocab": words}}))
    assert notices(run) == ("the tokenizer changes from step10 to step20: tokenizer.json",)


def _name_tokens(writer, word):
    writer.add_token_list([word] * 64)


def test_another_tokenizer_inside_a_gguf_file(tmp_path):
    for step, word in ((10, "a"), (20, "a"), (30, "b")):
        write_llama(make_llama(), tmp_path / f"m-step{step}.gguf", describe=partial(_name_tokens, word=word))
    assert "the tokenizer changes from step20 to step30: tokenizer.ggml" in notices(tmp_path)


def test_what_many_checkpoints_say_with_other_numbers_is_said_once(run):
    for step in (10, 20, 30):
        save(run / f"checkpoint-{step}")
        (run / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"global_step": step + 1}))
    (said,) = notices(run)
    assert said == (
        '3 notices, from "step10: checkpoint-10 is named after step 10 and says step 11 inside" to '
        '"step30: checkpoint-30 is named after step 30 and says step 31 inside"'
    )
