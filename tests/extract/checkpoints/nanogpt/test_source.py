import argparse
import json
import shutil
import time

import numpy as np
import pytest
import torch

from spectra_cli.core.errors import CheckpointError, UnsafePickleError
from spectra_cli.extract.checkpoints.nanogpt.source import NanoGPTFormat
from spectra_cli.extract.digest import state_digest

MODEL_ARGS = {"n_layer": 1, "n_head": 2, "n_embd": 4, "block_size": 8, "bias": False, "vocab_size": 16}
TRAINING = {"gradient_accumulation_steps": 5, "batch_size": 2, "block_size": 8, "init_from": "scratch"}


def _state(seed=0):
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(16, 4, generator=generator)
    return {
        "transformer.wte.weight": embedding,
        "transformer.h.0.attn.c_proj.weight": torch.randn(4, 4, generator=generator),
        "lm_head.weight": embedding,
    }


def _compiled(state):
    return {f"_orig_mod.{name}": tensor for name, tensor in state.items()}


def _karpathy(step, **extra):
    return {
        "model": _compiled(_state(step)),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 0.1}]},
        "model_args": MODEL_ARGS,
        "iter_num": step,
        "best_val_loss": torch.tensor(3.5),
        "config": TRAINING,
        **extra,
    }


def _rng():
    return {"torch": torch.get_rng_state(), "cuda": None, "numpy": np.random.RandomState(0).get_state()}


ARGS = {"n_head": 2, "batch_size": 4, "sequence_length": 8}
FAMILIES = {
    "A": {
        "epoch": 0.5,
        "args": {"n_head": 2},
        "derived": {"tokens_per_step": 32},
        "optimizer": {},
        "val_loss": 3.0,
        "target_reached": False,
        "rng": _rng(),
    },
    "B/F": {"val_loss": None, "optimizers": [{}], "rng": _rng(), "extra": {}},
    "C": {"optimizer": {}, "val_loss": 3.0},
    "D": {"optimizers": [{}, {}], "val_loss": 3.0},
    "E": {"optimizer1": {}, "optimizer2": {}, "optimizer3": {}, "val_loss": 3.0},
}


def _find(path):
    return NanoGPTFormat().find(str(path))


def _only(path):
    source = _find(path)
    (ref,) = source.refs()
    return source, ref


def test_karpathy_layout(tmp_path):
    torch.save(_karpathy(100), tmp_path / "ckpt.pt")
    source, ref = _only(tmp_path)
    header = source.header(ref)
    assert (ref.key, ref.run, source.format) == ("step100", tmp_path.name, "nanogpt")
    assert header.config == {**MODEL_ARGS, "layout": "nanogpt", "file_family": ""}
    assert header.tokens_seen == 100 * 5 * 2 * 8
    assert header.sources["tokens_seen"] == (
        "ckpt.pt: step x gradient_accumulation_steps x batch_size x block_size"
    )
    assert header.eval_loss is None
    assert any("best_val_loss 3.5" in notice for notice in header.notices)
    assert "wrapper names removed from 3 of 3 tensors: _orig_mod" in header.notices
    assert {name: h.shape for name, h in header.tensors.items()} == {
        name: tuple(tensor.shape) for name, tensor in _state().items()
    }
    assert header.num_bytes == (16 * 4 + 4 * 4) * 4
    state = source.open(ref)
    assert state_digest(state) == state_digest(_state(100))
    assert state["lm_head.weight"].data_ptr() == state["transformer.wte.weight"].data_ptr()


def test_pretrained_start_leaves_tokens_unknown(tmp_path):
    torch.save(_karpathy(100, config={**TRAINING, "init_from": "gpt2-xl"}), tmp_path / "ckpt.pt")
    source, ref = _only(tmp_path)
    header = source.header(ref)
    assert header.tokens_seen is None
    assert any("pretrained GPT-2" in notice for notice in header.notices)


def test_karpathy_series_is_ordered_by_the_count_inside(tmp_path):
    files = {"ckpt.pt": 2000, "ckpt_1000.pt": 1000, "ckpt-200.pt": 200, "ckpt_best.pt": 1500}
    for name, step in files.items():
        torch.save(_karpathy(step), tmp_path / name)
    torch.save(_karpathy(1999), tmp_path / "ckpt_2.pt.tmp")
    torch.save({"state": {}}, tmp_path / "optimizer.pt")
    source = _find(tmp_path)
    assert [ref.key for ref in source.refs()] == ["step200", "step1000", "step1500-best", "step2000"]
    assert all(
        "temporary files are not read: ckpt_2.pt.tmp" in source.header(r).notices for r in source.refs()
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_spectral_lens_families(tmp_path, family):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (tmp_path / "run" / "logs").mkdir()
    (tmp_path / "run" / "logs" / "args.json").write_text(json.dumps(ARGS))
    name = "ckpt_step_0000100.pt" if family == "B/F" else "checkpoint_step000100.pt"
    torch.save({"step": 100, "model": _compiled(_state()), **FAMILIES[family]}, folder / name)
    for path in (tmp_path / "run", folder, folder / name):
        source, ref = _only(path)
        assert (ref.run, ref.step, ref.uri) == ("run", 100, str(folder / name))
    header = source.header(ref)
    stored_args = FAMILIES[family].get("args", ARGS)
    assert header.config == {**stored_args, "layout": "spectral-lens", "file_family": family}
    assert header.tokens_seen == 3200
    origin = f"{name}: step x tokens_per_step" if family == "A" else "../logs/args.json: step x batch_size x"
    assert header.sources["tokens_seen"].startswith(origin)
    assert header.eval_loss == (3.0 if family == "A" else None)
    assert state_digest(source.open(ref)) == state_digest(_state())


def test_target_reached_and_periodic_file_of_one_step(tmp_path):
    content = {"step": 100, "model": _state(), **FAMILIES["C"]}
    for name in ("checkpoint_step000100.pt", "checkpoint_target_reached_step000100.pt"):
        torch.save(content, tmp_path / name)
    source = _find(tmp_path)
    periodic, reached = source.refs()
    assert (periodic.key, reached.key) == ("step100", "step100-target_reached")
    assert source.header(periodic).eval_loss is None
    assert source.header(reached).eval_loss == 3.0


@pytest.mark.parametrize(
    ("family", "tokens"), [("A", 0), ("B/F", None), ("C", None), ("D", None), ("E", None)]
)
def test_step_zero_may_already_be_updated(tmp_path, family, tokens):
    (tmp_path / "args.json").write_text(json.dumps(ARGS))
    torch.save({"step": 0, "model": _state(), **FAMILIES[family]}, tmp_path / "checkpoint_step000000.pt")
    source, ref = _only(tmp_path)
    header = source.header(ref)
    assert header.tokens_seen == tokens
    assert any("after one update" in notice for notice in header.notices) == (tokens is None)


def test_toy_layout(tmp_path):
    folder = tmp_path / "toy" / "checkpoints"
    folder.mkdir(parents=True)
    for step in (50, 100):
        torch.save({"step": step, "model_state_dict": _state(step)}, folder / f"model_step_{step:06}.pt")
    source = _find(folder)
    assert [(ref.run, ref.step) for ref in source.refs()] == [("toy", 50), ("toy", 100)]
    header = source.header(source.refs()[0])
    assert header.config == {"layout": "state-dict", "file_family": ""}
    assert any("no training arguments" in notice for notice in header.notices)
    assert "tokens seen unknown: no arguments that give the tokens of one step" in header.notices


def test_bare_state_dict_under_any_name(tmp_path):
    torch.save({f"module._orig_mod.model.{k}": v for k, v in _state().items()}, tmp_path / "weights.pt")
    source, ref = _only(tmp_path / "weights.pt")
    assert ref.key == "nostep"
    assert set(source.header(ref).tensors) == set(_state())
    assert _find(tmp_path) is None


def test_namespace_arguments(tmp_path):
    content = {"step": 1, "model": _state(), "args": argparse.Namespace(n_head=2, total_batch_size=64)}
    torch.save(content, tmp_path / "checkpoint_step000001.pt")
    source, ref = _only(tmp_path)
    header = source.header(ref)
    assert (header.config["n_head"], header.tokens_seen) == (2, 64)


def test_name_that_disagrees_with_the_content(tmp_path):
    torch.save({"step": 90, "model": _state(), **FAMILIES["A"]}, tmp_path / "checkpoint_step000100.pt")
    source, ref = _only(tmp_path)
    assert ref.step == 100
    assert "the file's name says step 100, its content step 90" in source.header(ref).notices


def test_damaged_and_unsafe_files_are_listed_and_fail_by_name(tmp_path, bomb):
    trap, target = bomb
    torch.save(_karpathy(1), tmp_path / "ckpt_1.pt")
    content = (tmp_path / "ckpt_1.pt").read_bytes()
    (tmp_path / "ckpt_2.pt").write_bytes(content[: len(content) // 2])
    (tmp_path / "ckpt_3.pt").write_bytes(b"")
    torch.save(_karpathy(4, extra=trap), tmp_path / "ckpt_4.pt")
    source = _find(tmp_path)
    assert [ref.step for ref in source.refs()] == [1, 2, 3, 4]
    source.header(source.refs()[0])
    for ref, error in zip(
        source.refs()[1:], (CheckpointError, CheckpointError, UnsafePickleError), strict=True
    ):
        for read in (source.header, source.open):
            with pytest.raises(error, match=rf"ckpt_{ref.step}\.pt"):
                read(ref)
    assert not target.exists()


def test_files_of_the_run_folder_come_before_its_subfolder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    torch.save(_karpathy(1), tmp_path / "ckpt.pt")
    shutil.copy(tmp_path / "ckpt.pt", tmp_path / "checkpoints" / "ckpt_5.pt")
    _, ref = _only(tmp_path)
    assert ref.uri == str(tmp_path / "ckpt.pt")


def test_header_of_a_large_file_reads_no_data(tmp_path):
    torch.save({"model": {"w": torch.empty(50_000_000)}, "step": 1}, tmp_path / "checkpoint_step000001.pt")
    source, ref = _only(tmp_path)
    start = time.process_time()
    header = source.header(ref)
    # CPU seconds. Mapped: milliseconds. Reading 200 MB costs some 0.1 s even from the page cache.
    assert time.process_time() - start < 0.05
    assert header.num_bytes == 200_000_000


def test_fingerprint_covers_the_arguments(tmp_path):
    torch.save({"step": 1, "model": _state()}, tmp_path / "checkpoint_step000001.pt")
    source, ref = _only(tmp_path)
    before = source.header(ref).fingerprint
    (tmp_path / "args.json").write_text(json.dumps(ARGS))
    assert source.header(ref).fingerprint != before


def test_a_file_of_modded_nanogpt_is_read_and_its_code_is_text(tmp_path):
    ran = tmp_path / "ran"
    payload = {
        "step": 1750,
        "code": f"open({str(ran)!r}, 'w')",
        "model": _compiled(_state()),
        "optimizers": [{"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.02}]}],
    }
    torch.save(payload, tmp_path / "state_step001750.pt")
    source, ref = _only(tmp_path)
    assert (ref.step, source.header(ref).tensors.keys()) == (1750, _state().keys())
    assert state_digest(source.open(ref)) == state_digest(_state())
    assert not ran.exists()
