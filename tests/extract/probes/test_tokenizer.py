import json
import shutil

import pytest
from tokenizers import Tokenizer

from spectra_cli.core.errors import ProbeError
from spectra_cli.extract.probes.tokenizer import find_tokenizer, load_tokenizer

TEXTS = ["the cat sat", "on the log"]


@pytest.fixture
def reference(tokenizer_folder):
    return Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))


@pytest.mark.parametrize("bare", [False, True])
def test_folder_and_bare_file_give_the_same_ids(tokenizer_folder, reference, bare):
    tokenizer = load_tokenizer(tokenizer_folder / "tokenizer.json" if bare else tokenizer_folder)
    assert [list(ids) for ids in tokenizer.encode(TEXTS)] == [reference.encode(text).ids for text in TEXTS]
    assert tokenizer.end_of_text == reference.token_to_id("<|endoftext|>")


def test_a_folder_with_a_bare_tokenizer_json_knows_its_end_of_text(tmp_path, tokenizer_folder, reference):
    shutil.copy(tokenizer_folder / "tokenizer.json", tmp_path)
    assert load_tokenizer(tmp_path).end_of_text == reference.token_to_id("<|endoftext|>")


def test_a_tokenizer_may_have_no_end_of_text(tokenizer_without_end):
    assert load_tokenizer(tokenizer_without_end).end_of_text is None
    assert load_tokenizer(tokenizer_without_end / "tokenizer.json").end_of_text is None


@pytest.mark.parametrize("content", ["{", "{}", '{"model": {"type": "X"}}'])
@pytest.mark.parametrize("bare", [False, True])
def test_damaged_tokenizers_are_refused(tmp_path, content, bare):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ProbeError, match=r"cannot be read as a tokenizer .*--tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json" if bare else tmp_path)


def test_remote_code_is_never_run(tmp_path, tokenizer_folder):
    shutil.copytree(tokenizer_folder, tmp_path, dirs_exist_ok=True)
    proof = tmp_path / "executed"
    (tmp_path / "own.py").write_text(f"open({str(proof)!r}, 'w')\nclass Own: pass\n")
    config = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": [None, "own.Own"]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ProbeError, match="cannot be read as a tokenizer"):
        load_tokenizer(tmp_path)
    assert not proof.exists()


def test_the_checkpoint_folder_comes_before_its_children(tmp_path, tokenizer_folder):
    for name in ("checkpoint-2", "checkpoint-1"):
        shutil.copytree(tokenizer_folder, tmp_path / name)
    (tmp_path / "file").touch()
    assert find_tokenizer(named=None, checkpoint_folder=tmp_path) == tmp_path / "checkpoint-1"
    shutil.copy(tokenizer_folder / "tokenizer.json", tmp_path)
    assert find_tokenizer(named=None, checkpoint_folder=tmp_path) == tmp_path


def test_the_base_of_an_adapter_serves_where_the_adapter_has_none(tmp_path, tokenizer_folder):
    adapter, base = tmp_path / "adapter", shutil.copytree(tokenizer_folder, tmp_path / "base")
    adapter.mkdir()
    found = {"named": None, "checkpoint_folder": adapter, "base_folder": base / "model.gguf"}
    assert find_tokenizer(**found) == base
    shutil.copy(tokenizer_folder / "tokenizer.json", adapter)
    assert find_tokenizer(**found) == adapter
    for folder in (adapter, base):
        for file in folder.iterdir():
            file.unlink()
    with pytest.raises(ProbeError, match=r"neither .*adapter nor .* nor .*base nor a folder in it has"):
        find_tokenizer(**found)


def test_a_checkpoint_file_stands_for_its_folder(tmp_path, tokenizer_folder):
    shutil.copytree(tokenizer_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "ckpt.pt").touch()
    assert find_tokenizer(named=None, checkpoint_folder=tmp_path / "ckpt.pt") == tmp_path


@pytest.mark.parametrize("name", ["checkpoint-5", "rev-main", "checkpoint-5/adapter"])
def test_the_run_folder_serves_where_the_checkpoint_has_none(tmp_path, tokenizer_folder, name):
    run, checkpoint = tmp_path / "run", tmp_path / "run" / name
    (run / "checkpoint-5" / "adapter").mkdir(parents=True)
    checkpoint.mkdir(exist_ok=True)
    with pytest.raises(ProbeError, match=r"nor a folder in it nor \S*run.* has a tokenizer\.json"):
        find_tokenizer(named=None, checkpoint_folder=checkpoint)
    shutil.copytree(tokenizer_folder, run / "tokenizer")
    assert find_tokenizer(named=None, checkpoint_folder=checkpoint) == run / "tokenizer"
    shutil.copy(tokenizer_folder / "tokenizer.json", run)
    assert find_tokenizer(named=None, checkpoint_folder=checkpoint) == run
    shutil.copy(tokenizer_folder / "tokenizer.json", checkpoint)
    assert find_tokenizer(named=None, checkpoint_folder=checkpoint) == checkpoint


def test_a_folder_above_that_is_no_run_is_not_looked_into(tmp_path, tokenizer_folder):
    (tmp_path / "model").mkdir()
    shutil.copy(tokenizer_folder / "tokenizer.json", tmp_path)
    with pytest.raises(ProbeError, match="nor a folder in it has"):
        find_tokenizer(named=None, checkpoint_folder=tmp_path / "model")


def test_a_named_tokenizer_comes_first_and_must_exist(tmp_path, tokenizer_folder):
    assert find_tokenizer(named=str(tokenizer_folder), checkpoint_folder=tmp_path) == tokenizer_folder
    with pytest.raises(ProbeError, match=r"no tokenizer at openai-community/gpt2.*local"):
        find_tokenizer(named="openai-community/gpt2", checkpoint_folder=tmp_path)


def test_no_tokenizer_anywhere(tmp_path):
    with pytest.raises(ProbeError, match=r"nor a folder in it has a tokenizer\.json"):
        find_tokenizer(named=None, checkpoint_folder=tmp_path)
    with pytest.raises(ProbeError, match="no checkpoint folder"):
        find_tokenizer(named=None, checkpoint_folder=None)
