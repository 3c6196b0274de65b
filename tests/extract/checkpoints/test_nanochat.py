import json

import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.nanochat import NanochatFormat
from spectra_cli.extract.checkpoints.registry import find_source

CONFIG = {
    "sequence_len": 16,
    "vocab_size": 8,
    "n_layer": 1,
    "n_head": 2,
    "n_kv_head": 2,
    "n_embd": 4,
    "window_pattern": "SSSL",
}


@pytest.fixture
def save(tmp_path):
    """A checkpoint as nanochat's save_checkpoint leaves it; `meta` None leaves its file out."""
    folder = tmp_path / "base_checkpoints" / "d4"
    folder.mkdir(parents=True)

    def write(step, *, meta=(), **state):
        tensors = {"transformer.wte.weight": torch.full((8, 4), float(step)).bfloat16(), **state}
        torch.save({f"_orig_mod.{n}": t for n, t in tensors.items()}, folder / f"model_{step:06d}.pt")
        torch.save({"momentum": torch.ones(2)}, folder / f"optim_{step:06d}_rank0.pt")
        if meta is not None:
            said = {
                "step": step,
                "val_bpb": 0.9,
                "model_config": CONFIG,
                "user_config": {"depth": 4, "total_batch_size": 524288},
                "dataloader_state_dict": {"pq_idx": 1},
                "loop_state": {"smooth_train_loss": 3.5},
            }
            (folder / f"meta_{step:06d}.json").write_text(json.dumps(said | dict(meta)))
        return folder

    return write


def test_a_folder_is_one_series_of_its_models(save):
    save(200)
    folder = save(100)
    source = find_source(str(folder))
    assert (source.format, source.run) == ("nanochat", "d4")
    assert [ref.step for ref in source.refs()] == [100, 200]
    header = source.header(source.refs()[1])
    assert header.config == CONFIG
    assert header.tensors.keys() == {"transformer.wte.weight"}
    assert header.tokens_seen == 200 * 524288
    assert header.batch_size_tokens == 524288
    assert header.stated_step == 200
    assert header.eval_loss is None
    assert header.sources["tokens_seen"] == "meta_000200.json: step x total_batch_size"
    assert any("0.9000 bits per byte" in notice for notice in header.notices)
    state = source.open(source.refs()[1])
    assert state["transformer.wte.weight"].dtype is torch.bfloat16
    assert float(state["transformer.wte.weight"][0, 0]) == 200


def test_one_file_is_a_series_of_one(save):
    folder = save(100)
    save(200)
    source = find_source(str(folder / "model_000200.pt"))
    assert (source.format, [ref.step for ref in source.refs()]) == ("nanochat", [200])


def test_the_batch_that_a_run_settled_on_comes_before_the_one_asked_for(save):
    source = find_source(
        str(save(10, meta={"total_batch_size": 1000, "user_config": {"total_batch_size": -1}}))
    )
    assert source.header(source.refs()[0]).tokens_seen == 10_000


def test_a_later_stage_has_no_tokens_and_a_loss_in_nats(save):
    folder = save(10)
    meta = folder / "meta_000010.json"
    meta.write_text(json.dumps({"step": 10, "val_loss": 1.25, "model_config": CONFIG}))
    source = find_source(str(folder))
    header = source.header(source.refs()[0])
    assert (header.tokens_seen, header.eval_loss) == (None, 1.25)
    assert header.sources["eval_loss"] == "meta_000010.json"
    assert any(notice.startswith("tokens seen unknown") for notice in header.notices)


def test_a_contradicting_step_is_noticed(save):
    source = find_source(str(save(10, meta={"step": 12})))
    header = source.header(source.refs()[0])
    assert "the file's name says step 10, its meta file step 12" in header.notices


def test_a_model_without_its_meta_file_is_named_and_hides_no_other(save):
    save(100)
    folder = save(200, meta=None)
    source = find_source(str(folder))
    first, second = source.refs()
    assert source.header(first).config == CONFIG
    with pytest.raises(CheckpointError, match=r"no meta_000200.json beside it"):
        source.header(second)


def test_a_model_alone_without_its_meta_file_is_told_as_nanochats(save):
    folder = save(100, meta=None, **{"transformer.h.0.attn.c_q.weight": torch.ones(4, 4)})
    for path in (folder, folder / "model_000100.pt"):
        source = find_source(str(path))
        with pytest.raises(CheckpointError, match=r"of nanochat, and no meta_000100.json beside it"):
            source.header(source.refs()[0])


def test_a_meta_file_of_another_kind_is_refused(save):
    folder = save(100)
    (folder / "meta_000100.json").write_text('{"step": 100}')
    source = find_source(str(folder))
    with pytest.raises(CheckpointError, match=r"no model_config in it; found step"):
        source.header(source.refs()[0])


def test_without_any_meta_file_it_is_no_nanochat_folder(save):
    folder = save(100, meta=None)
    assert NanochatFormat().find(str(folder)) is None
    assert find_source(str(folder)).format == "nanogpt"
    assert NanochatFormat().find(str(folder / "absent")) is None
