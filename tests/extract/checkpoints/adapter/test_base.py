import json
import shutil

import pytest

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.adapter.base import find_base, huggingface_folder, name_of_base
from spectra_cli.extract.checkpoints.adapter.config import read_adapter_config


@pytest.fixture
def config(tmp_path):
    """The configuration of an adapter in `run/adapter`, which names the given base."""

    def make(base, **more):
        folder = tmp_path / "run" / "adapter"
        folder.mkdir(parents=True, exist_ok=True)
        content = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "base_model_name_or_path": base}
        (folder / "adapter_config.json").write_text(json.dumps(content | more))
        return read_adapter_config(folder)

    return make


def test_where_a_base_is_looked_for(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "m").mkdir(parents=True)
    assert name_of_base(config("models/m"), "") == str(tmp_path / "models" / "m")
    (tmp_path / "run" / "m").mkdir(parents=True)
    assert name_of_base(config("../m"), "") == str(tmp_path / "run" / "m")
    assert name_of_base(config(str(tmp_path / "models" / "m")), "") == str(tmp_path / "models" / "m")
    assert name_of_base(config("org/name"), "") == "org/name"
    assert name_of_base(config("org/name", revision="step10"), "") == "org/name@step10"
    assert name_of_base(config("models/m"), "other") == "other"


def test_an_adapter_that_names_none(config):
    for nothing in (None, ""):
        with pytest.raises(CheckpointError, match=r"names no base model.*--base"):
            name_of_base(config(nothing), "")


def test_one_checkpoint_is_found(config, tmp_path, llama):
    llama.save_pretrained(tmp_path / "base")
    found = find_base(config("base"), str(tmp_path / "base"), huggingface_folder)
    assert found.ref.uri == str(tmp_path / "base")
    # beside checkpoints of its own run, the folder itself is meant
    shutil.copytree(tmp_path / "base", tmp_path / "base" / "checkpoint-1")
    found = find_base(config("base"), str(tmp_path / "base"), huggingface_folder)
    assert found.ref.uri == str(tmp_path / "base")


def test_several_or_none(config, tmp_path, llama):
    with pytest.raises(CheckpointError, match=r"its base .*absent cannot be read; --base.*no Hugging Face"):
        find_base(config("absent"), str(tmp_path / "absent"), huggingface_folder)
    for step in (1, 2):
        llama.save_pretrained(tmp_path / "runs" / f"checkpoint-{step}")
    with pytest.raises(CheckpointError, match="holds 2 checkpoints; --base names one"):
        find_base(config("runs"), str(tmp_path / "runs"), huggingface_folder)
