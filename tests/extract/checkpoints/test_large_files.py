"""Files of a terabyte that take no room on the disk: refused by name, size and limit, and never read."""

import json
import os
import tracemalloc
from pathlib import Path

import pytest
import torch

from spectra_cli.cli.groups.settings import SettingsOptions
from spectra_cli.core.errors import SpectraError
from spectra_cli.extract.checkpoints.distributed.metadata import read_metadata
from spectra_cli.extract.checkpoints.files.json_object import read_json_object
from spectra_cli.extract.checkpoints.files.pickles import load_pickle
from spectra_cli.extract.checkpoints.llm_c import read_losses
from spectra_cli.extract.checkpoints.series.run_file import read_run_file
from spectra_cli.extract.checkpoints.series.trainer_state import read_trainer_state
from spectra_cli.extract.checkpoints.series.training_log import read_training_log
from spectra_cli.extract.probes.text import read_jsonl_documents, read_text_document
from spectra_cli.extract.probes.tokenizer import load_tokenizer

HUGE = 2**40
READ = {
    "config.json": read_json_object,
    "trainer_state.json": lambda path: read_trainer_state(path.parent),
    "run.toml": lambda path: read_run_file(str(path.parent)),
    "log.csv": lambda path: read_training_log(str(path)),
    "log.jsonl": lambda path: read_training_log(str(path)),
    "main.log": lambda path: read_losses(path.parent, 5),
    ".metadata": lambda path: read_metadata(path.parent),
    "tokenizer.json": load_tokenizer,
    "vocab.json": lambda path: load_tokenizer(path.parent),
    "probe.txt": read_text_document,
    "probe.jsonl": read_jsonl_documents,
}


@pytest.mark.parametrize("name", READ)
def test_a_sparse_file_is_refused_before_it_is_read(tmp_path, name):
    path = tmp_path / name
    path.touch()
    os.truncate(path, HUGE)
    tracemalloc.start()
    with pytest.raises(SpectraError, match=rf"{name}: {HUGE} bytes[,;] (where|expected) at most \d+"):
        READ[name](path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**22


def test_a_configuration_of_millions_of_empty_lists_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"a": [' + "[]," * 3_000_000 + "[]]}")
    with pytest.raises(
        SpectraError, match=r"config\.json: cannot be read as JSON: 3000003 lists and objects"
    ):
        read_json_object(tmp_path / "config.json")


def test_a_log_of_many_short_lines_and_one_wide_one(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,loss" + ",x" * 5000 + "\n" + "1\n" * 100_000)
    with pytest.raises(SpectraError, match="5002 columns, where at most 4096 are read"):
        read_training_log(str(path))
    path.write_text("\n".join(json.dumps({"step": n, f"x{n}": 1}) for n in range(5000)))
    with pytest.raises(SpectraError, match="more columns than the 4096"):
        read_training_log(str(path))


def test_a_large_number_of_rows_is_not_held(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,loss,a,b,c\n" + "7,2.5,1,1,1\n" * 50_000)
    tracemalloc.start()
    assert read_training_log(str(path)).values == {"train_loss": {7: 2.5}}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * path.stat().st_size


def test_a_pickle_of_millions_of_values_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("spectra_cli.extract.checkpoints.files.pickle_opcodes._MOST_OPCODES", 10_000)
    torch.save({"w": torch.ones(2), "history": list(range(20_000))}, tmp_path / "f.pt")
    with pytest.raises(SpectraError, match=r"f\.pt: .*more than 10000 values"):
        load_pickle(tmp_path / "f.pt")


def test_settings(tmp_path):
    path: Path = tmp_path / "settings.toml"
    path.touch()
    os.truncate(path, HUGE)
    with pytest.raises(SpectraError, match=rf"--config \S*settings\.toml: {HUGE} bytes"):
        SettingsOptions(config=path).resolve({})
