import json

import pytest
import torch
from safetensors.torch import save_file

from spectra_cli.core.errors import CheckpointError, UnsafePickleError
from spectra_cli.extract.checkpoints.files.weight_files import (
    find_weights,
    open_some,
    open_tensors,
    read_headers,
)


@pytest.fixture
def sharded(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"a": torch.ones(2, 3)}, folder / "one.safetensors")
    save_file({"b": torch.zeros(4)}, folder / "two.safetensors")
    _index(folder, {"a": "one.safetensors", "b": "two.safetensors"})
    return folder


def _index(folder, placed):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))


def _read(folder):
    return read_headers(find_weights(folder))


def test_shards_are_merged(sharded):
    headers = _read(sharded)
    assert {name: header.shape for name, header in headers.tensors.items()} == {"a": (2, 3), "b": (4,)}
    assert headers.num_bytes == (6 + 4) * 4
    state = open_tensors(find_weights(sharded))
    assert state["a"].sum() == 6
    assert state["b"].shape == (4,)


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/passwd", "sub/x.safetensors", "..", "", "a\\b", "C:x", "one\0"]
)
def test_index_that_leads_outside_is_refused(sharded, name):
    save_file({"a": torch.ones(2)}, sharded.parent / "outside.safetensors")
    _index(sharded, {"a": name})
    with pytest.raises(CheckpointError, match="plain file name"):
        find_weights(sharded)


def test_link_that_leads_outside_is_refused(sharded):
    outside = sharded.parent / "outside.safetensors"
    (sharded / "one.safetensors").rename(outside)
    (sharded / "one.safetensors").symlink_to(outside)
    with pytest.raises(CheckpointError, match="is a link to"):
        find_weights(sharded)


def test_hub_cache_links_to_its_blobs(sharded, tmp_path):
    repo = tmp_path / "models--org--name"
    snapshot = repo / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    for i, file in enumerate(sorted(sharded.iterdir())):
        file.rename(repo / "blobs" / f"{i}")
        (snapshot / file.name).symlink_to(f"../../blobs/{i}")
    assert set(_read(snapshot).tensors) == {"a", "b"}
    assert set(open_tensors(find_weights(snapshot))) == {"a", "b"}


def test_missing_shards_are_named(sharded):
    (sharded / "two.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"1 of 2 shards.*two\.safetensors"):
        find_weights(sharded)


def test_index_of_other_shards(sharded):
    _index(sharded, {"a": "one.safetensors", "c": "two.safetensors"})
    with pytest.raises(CheckpointError, match="1 tensor is not in the shards it names: c"):
        _read(sharded)


def test_tensors_that_the_index_forgets_are_read_and_said(sharded):
    save_file({"b": torch.zeros(4), "c": torch.zeros(1)}, sharded / "two.safetensors")
    headers = _read(sharded)
    assert "c" in headers.tensors
    assert headers.notices == ("in the shards but not in their index, read all the same: c",)


def test_one_tensor_in_two_shards(sharded):
    save_file({"a": torch.zeros(4), "b": torch.zeros(4)}, sharded / "two.safetensors")
    with pytest.raises(CheckpointError, match=r"'a' is also in one\.safetensors"):
        _read(sharded)


@pytest.mark.parametrize("weight_map", [None, {}, [], {"a": 3}])
def test_index_without_a_map(sharded, weight_map):
    _index(sharded, weight_map)
    with pytest.raises(CheckpointError, match="weight_map"):
        find_weights(sharded)


def test_index_names_a_file_of_another_kind(sharded):
    (sharded / "notes.txt").write_text("")
    _index(sharded, {"a": "notes.txt"})
    with pytest.raises(CheckpointError, match="neither"):
        find_weights(sharded)


def test_first_of_several_is_read_and_the_others_said(sharded):
    save_file({"only": torch.ones(1)}, sharded / "model.safetensors")
    headers = _read(sharded)
    assert set(headers.tensors) == {"only"}
    assert headers.notices == ("model.safetensors.index.json is not read: model.safetensors comes first",)


def test_no_weights_lists_the_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(CheckpointError, match=r"no weights.*found notes\.txt"):
        find_weights(tmp_path)


def test_unsafe_shard_of_a_bin_index(tmp_path, bomb):
    trap, target = bomb
    torch.save({"a": trap}, tmp_path / "s.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "s.bin"}}))
    weights = find_weights(tmp_path)
    for read in (read_headers, open_tensors):
        with pytest.raises(UnsafePickleError, match=r"s\.bin.*eval"):
            read(weights)
    assert not target.exists()


def test_damaged_safetensors_fails_in_both_passes(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(2, 3)}, path)
    path.write_bytes(path.read_bytes()[:-1])
    weights = find_weights(tmp_path)
    for read in (read_headers, open_tensors):
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            read(weights)


def test_a_link_to_itself_is_a_missing_shard(sharded):
    (sharded / "two.safetensors").unlink()
    (sharded / "two.safetensors").symlink_to("two.safetensors")
    with pytest.raises(CheckpointError, match=r"1 of 2 shards.*two\.safetensors"):
        find_weights(sharded)


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_some_tensors_and_no_others(tmp_path, form):
    state = {name: torch.full((2, 3), float(number)) for number, name in enumerate("abc")}
    if form == "bin":
        torch.save(state, tmp_path / "pytorch_model.bin")
    else:
        save_file(state, tmp_path / "model.safetensors")
    found = open_some(find_weights(tmp_path), ("a", "c"))
    assert found.keys() == {"a", "c"}
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.items())


def test_a_shard_whose_name_is_half_a_character(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"w": "a\\ud800.safetensors"}}')
    with pytest.raises(CheckpointError, match=r"index\.json: names the shard .*expected a plain file name"):
        find_weights(tmp_path)
