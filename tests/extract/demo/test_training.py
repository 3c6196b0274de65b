import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from spectra_cli.core.errors import UsageError
from spectra_cli.extract.checkpoints.files.pickles import load_pickle
from spectra_cli.extract.checkpoints.nanogpt.source import NanoGPTFormat
from spectra_cli.extract.demo.settings import BandedTask, DemoSettings
from spectra_cli.extract.demo.training import RECIPES, is_trained, train_run
from spectra_cli.extract.models.nanogpt.family import NANOGPT
from spectra_cli.extract.probes.load import load_probe
from spectra_cli.extract.probes.source import ProbeRequest

SMALL = DemoSettings(
    task=BandedTask(vocab_size=24, sequence_length=8),
    num_train=32,
    num_validation=20,
    n_embd=16,
    batch_size=4,
    num_steps=3,
    save_steps=(0, 2, 3),
)


@pytest.fixture(scope="module", params=RECIPES)
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "runs" / request.param
    return train_run(folder, recipe=request.param, settings=SMALL)


def checkpoint(run, step):
    return load_pickle(run.folder / f"checkpoint_step{step:06d}.pt")


def test_a_run_leaves_checkpoints_arguments_and_a_probe_and_nothing_else(run):
    names = sorted(path.name for path in run.folder.iterdir())
    checkpoints = [f"checkpoint_step00000{step}.pt" for step in (0, 2, 3)]
    assert names == ["args.json", *checkpoints, "probe.npy"]
    for step in (0, 2, 3):
        content = checkpoint(run, step)
        assert list(content) == ["step", "model", "optimizers", "val_loss", "val_loss_step"]
        assert content["step"] == content["val_loss_step"] == step
        assert content["val_loss"] == run.validation_losses[step]


def test_names_and_shapes_are_those_of_the_untied_decoder(run):
    state = checkpoint(run, 3)["model"]
    blocks = [f"attn.c_{x}" for x in ("q", "k", "v", "proj")] + ["mlp.c_fc", "mlp.c_proj"]
    expected = {f"transformer.h.{i}.{name}.weight" for i in range(2) for name in blocks}
    assert set(state) == expected | {"transformer.wte.weight", "lm_head.weight"}
    assert state["transformer.wte.weight"].shape == state["lm_head.weight"].shape == (24, 16)
    assert state["transformer.h.0.mlp.c_fc.weight"].shape == (32, 16)


def test_the_ordinary_path_reads_the_run_and_finds_the_stored_loss(run):
    source = NanoGPTFormat().find(str(run.folder))
    assert [ref.step for ref in source.refs()] == [0, 2, 3]
    ref = source.refs()[-1]
    header = source.header(ref)
    assert header.tokens_seen == 3 * 4 * 8
    model = NANOGPT.build(header, source.open(ref), device=torch.device("cpu"))
    assert model.architecture == "variant 6 (untied embedding)"
    assert model.notices == ()
    sequences = torch.from_numpy(np.load(run.probe)).long()
    with torch.no_grad():
        logits = model.head(model.trunk(sequences[:, :-1])).double()
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), sequences[:, 1:])
    # float32 logits of the same weights
    assert float(loss) == pytest.approx(run.validation_losses[3], rel=1e-6)


def test_the_arguments_name_what_tensors_do_not_show(run):
    arguments = json.loads((run.folder / "args.json").read_text())
    assert arguments.items() >= {
        "n_layer": 2, "n_head": 4, "n_embd": 16, "vocab_size": 24, "sequence_length": 8, "batch_size": 4,
        "total_batch_size": 32, "lr": 1e-3, "optimizer": run.folder.name, "seed": 0,
    }.items()  # fmt: skip


def test_an_untrained_model_knows_nothing(run):
    # a zero head gives every id the same probability
    assert run.validation_losses[0] == pytest.approx(np.log(24), rel=1e-6)


def test_the_probe_is_one_whole_validation_sequence_a_row(run):
    rows = np.load(run.probe)
    assert rows.shape == (20, 9)
    request = ProbeRequest(source=str(run.probe), num_sequences=20, sequence_length=8, order="file")
    probe = load_probe(request, vocab_size=24, checkpoint_folder=str(run.folder))
    assert probe.tokens.tolist() == rows[:, :-1].tolist()
    assert probe.targets.tolist() == rows[:, 1:].tolist()


def test_the_same_settings_give_the_same_tensors_and_another_seed_does_not(run, tmp_path):
    recipe = run.folder.name
    random_state = torch.get_rng_state()
    again = train_run(tmp_path / "again", recipe=recipe, settings=SMALL)
    other = train_run(tmp_path / "other", recipe=recipe, settings=replace(SMALL, seed=1))
    assert torch.equal(torch.get_rng_state(), random_state)
    for step in SMALL.save_steps:
        first, second, third = (checkpoint(r, step)["model"] for r in (run, again, other))
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert not torch.equal(first["transformer.wte.weight"], third["transformer.wte.weight"])
    assert again.validation_losses == run.validation_losses
    assert (np.load(run.probe) == np.load(again.probe)).all()


def test_recipes_share_their_start_and_data_and_part_from_there(tmp_path):
    runs = [train_run(tmp_path / recipe, recipe=recipe, settings=SMALL) for recipe in RECIPES]
    starts = [checkpoint(run, 0)["model"] for run in runs]
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
    assert (np.load(runs[0].probe) == np.load(runs[1].probe)).all()
    ends = [checkpoint(run, 3)["model"] for run in runs]
    assert all(not torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_progress_is_told_after_every_step(tmp_path):
    steps = []
    train_run(tmp_path, recipe="adamw", settings=SMALL, progress=lambda *told: steps.append(told))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    run = train_run(tmp_path, recipe="adamw", settings=SMALL)
    before = checkpoint(run, 0)["model"]

    def fail(content, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        train_run(tmp_path, recipe="adamw", settings=replace(SMALL, seed=1))
    assert torch.equal(
        checkpoint(run, 0)["model"]["transformer.wte.weight"], before["transformer.wte.weight"]
    )


def loss_of(run, step):
    """Of the weights in a checkpoint, read by the ordinary path."""
    source = NanoGPTFormat().find(str(run.folder))
    (ref,) = [ref for ref in source.refs() if ref.step == step]
    model = NANOGPT.build(source.header(ref), source.open(ref), device=torch.device("cpu"))
    sequences = torch.from_numpy(np.load(run.probe)).long()
    with torch.no_grad():
        logits = model.head(model.trunk(sequences[:, :-1])).double()
    return model, float(torch.nn.functional.cross_entropy(logits.transpose(1, 2), sequences[:, 1:]))


def test_a_tied_model_is_read_as_one_and_starts_unsure(tmp_path):
    run = train_run(tmp_path, recipe="muon", settings=replace(SMALL, tied=True))
    for step in SMALL.save_steps:
        state = checkpoint(run, step)["model"]
        assert torch.equal(state["transformer.wte.weight"], state["lm_head.weight"])
        model, loss = loss_of(run, step)
        assert model.architecture == "variant 4s or 5 (rope, tied)"
        # float32 logits of the same weights
        assert loss == pytest.approx(run.validation_losses[step], rel=1e-6)
    assert run.validation_losses[0] == pytest.approx(np.log(24), abs=0.1)
    assert not torch.equal(
        checkpoint(run, 3)["model"]["lm_head.weight"], checkpoint(run, 0)["model"]["lm_head.weight"]
    )


def test_another_attention_kernel_is_the_same_function_with_other_roundings(tmp_path):
    runs = [
        train_run(tmp_path / kernel, recipe="adamw", settings=replace(SMALL, attention_kernel=kernel))
        for kernel in ("fused", "math")
    ]
    first, second = (checkpoint(run, 3)["model"] for run in runs)
    assert not all(torch.equal(first[name], second[name]) for name in first)
    for name in first:
        # float32 roundings; AdamW divides by root mean squares, which can blow those of tiny gradients up
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=1e-4)


def test_weights_can_be_stored_in_bfloat16_and_their_own_loss_is_noted(tmp_path):
    whole = train_run(tmp_path / "float32", recipe="adamw", settings=SMALL)
    half = train_run(tmp_path / "bfloat16", recipe="adamw", settings=replace(SMALL, stored_dtype="bfloat16"))
    exact, rounded = (checkpoint(run, 3)["model"] for run in (whole, half))
    assert all(torch.equal(rounded[name], exact[name].bfloat16()) for name in exact)
    assert half.validation_losses[3] != whole.validation_losses[3]
    # float32 logits of the same weights
    assert loss_of(half, 3)[1] == pytest.approx(half.validation_losses[3], rel=1e-6)


def test_a_run_ends_where_it_reaches_the_loss_asked_for(tmp_path):
    settings = replace(SMALL, target_loss=10.0)
    run = train_run(tmp_path, recipe="adamw", settings=settings)
    assert list(run.validation_losses) == [0]
    assert is_trained(tmp_path, recipe="adamw", settings=settings)
    assert not is_trained(tmp_path, recipe="adamw", settings=SMALL)


def test_what_is_trained_is_told_from_what_is_not(tmp_path):
    assert not is_trained(tmp_path, recipe="adamw", settings=SMALL)
    train_run(tmp_path, recipe="adamw", settings=SMALL)
    assert is_trained(tmp_path, recipe="adamw", settings=SMALL)
    assert not is_trained(tmp_path, recipe="muon", settings=SMALL)
    assert not is_trained(tmp_path, recipe="adamw", settings=replace(SMALL, seed=1))
    (tmp_path / "checkpoint_step000003.pt").unlink()
    assert not is_trained(tmp_path, recipe="adamw", settings=SMALL)


def test_optimisers_need_not_be_saved_and_still_tell_their_rate(tmp_path):
    run = train_run(tmp_path, recipe="adamw", settings=replace(SMALL, save_optimizers=False))
    assert [one["state"] for one in checkpoint(run, 3)["optimizers"]] == [{}]
    source = NanoGPTFormat().find(str(tmp_path))
    assert source.header(source.refs()[-1]).learning_rate == SMALL.lr


def test_an_unknown_recipe_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no recipe 'sgd'; recipes: adamw, muon"):
        train_run(tmp_path, recipe="sgd")
