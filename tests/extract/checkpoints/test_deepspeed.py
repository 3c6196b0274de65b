import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.deepspeed import DeepSpeedFormat
from spectra_cli.extract.checkpoints.registry import find_source


def _shards(folder, *, zero=True, script=True):
    """File names as DeepSpeed's engine writes them."""
    tag = folder / "global_step500"
    tag.mkdir(parents=True)
    torch.save({"module": {}}, tag / "mp_rank_00_model_states.pt")
    if zero:
        for rank in range(2):
            name = f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"
            torch.save({"optimizer_state_dict": {}}, tag / name)
    (folder / "latest").write_text("global_step500")
    if script:
        (folder / "zero_to_fp32.py").write_text("raise SystemExit('run')")


@pytest.mark.parametrize("below", [".", "global_step500"])
def test_the_converter_is_named(tmp_path, below):
    _shards(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"global_step500: .*`python zero_to_fp32\.py \. out`"
    ) as caught:
        find_source(str(tmp_path / below))
    assert f"In {tmp_path} run" in str(caught.value)


def test_in_the_checkpoints_of_a_run_and_without_the_script(tmp_path, llama):
    _shards(tmp_path / "checkpoint-500", script=False)
    llama.config.save_pretrained(tmp_path / "checkpoint-500")
    with pytest.raises(CheckpointError, match=r"zero_to_fp32\.py comes with DeepSpeed"):
        find_source(str(tmp_path))


def test_a_conversion_without_configuration_is_pointed_at(tmp_path, llama):
    _shards(tmp_path)
    (tmp_path / "out").mkdir()
    torch.save(llama.state_dict(), tmp_path / "out" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"out has them converted: put the model's config\.json there"):
        find_source(str(tmp_path))


def test_a_conversion_is_read(tmp_path, llama):
    _shards(tmp_path)
    llama.save_pretrained(tmp_path / "out")
    assert find_source(str(tmp_path)).format == "huggingface"
    assert find_source(str(tmp_path / "out")).format == "huggingface"


def test_gathered_weights_beside_the_shards_are_read(tmp_path, llama):
    for step in (500, 1000):
        _shards(tmp_path / f"checkpoint-{step}")
        llama.save_pretrained(tmp_path / f"checkpoint-{step}")
    assert [ref.step for ref in find_source(str(tmp_path)).refs()] == [500, 1000]


def test_without_zero(tmp_path):
    _shards(tmp_path, zero=False)
    with pytest.raises(CheckpointError, match=r"their entry `module` as pytorch_model\.bin"):
        find_source(str(tmp_path))


def test_other_folders(tmp_path, llama):
    llama.save_pretrained(tmp_path / "model")
    assert DeepSpeedFormat().find(str(tmp_path)) is None
    assert DeepSpeedFormat().find(str(tmp_path / "model" / "config.json")) is None
