import argparse
import collections
import os
import pathlib
import re
import struct
import time
import zipfile

import numpy as np
import pytest
import torch

from spectra_cli.core.errors import CheckpointError, UnsafePickleError
from spectra_cli.extract.checkpoints.files.pickles import load_pickle, open_pickle


@pytest.fixture
def payload():
    return {
        "w": torch.arange(6.0).view(2, 3),
        "rng": np.random.RandomState(3).get_state(),
        "args": argparse.Namespace(lr=0.1, out=pathlib.Path("runs/a")),
        "windows": pathlib.PureWindowsPath("C:/runs"),
        "loss": np.float64(3.25),
        "count": np.int64(7),
        "flag": np.bool_(True),
        "history": collections.defaultdict(list, {"a": [1]}),
        "ordered": collections.OrderedDict(b=1),
    }


def _check(loaded, payload):
    torch.testing.assert_close(loaded["w"], payload["w"], rtol=0, atol=0)
    name, state, *rest = loaded["rng"]
    assert (name, *rest) == (payload["rng"][0], *payload["rng"][2:])
    np.testing.assert_array_equal(state.values, payload["rng"][1])
    assert vars(loaded["args"]) == {"lr": 0.1, "out": pathlib.PurePosixPath("runs/a")}
    assert loaded["windows"] == payload["windows"]
    assert (loaded["loss"], loaded["count"], loaded["flag"]) == (3.25, 7, True)
    assert loaded["history"] == {"a": [1]}
    assert loaded["ordered"] == {"b": 1}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_harmless_types_are_read(tmp_path, payload, zipped):
    path = tmp_path / "f.pt"
    torch.save(payload, path, _use_new_zipfile_serialization=zipped)
    _check(load_pickle(path), payload)


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_both_spellings_of_numpy(tmp_path, payload, rewrite_pickle, core):
    path = tmp_path / "f.pt"
    torch.save(payload, path)
    written = np._core.multiarray._reconstruct.__module__.encode() if hasattr(np, "_core") else b"numpy.core"
    rewrite_pickle(path, written.split(b".multiarray")[0] + b".multiarray", core + b".multiarray")
    _check(load_pickle(path), payload)


def test_nothing_stays_allowed_afterwards(tmp_path, payload):
    path = tmp_path / "f.pt"
    torch.save(payload, path)
    with torch.serialization.safe_globals([(list, "mine.own")]):
        before = set(torch.serialization.get_safe_globals())
        load_pickle(path)
        assert set(torch.serialization.get_safe_globals()) == before


def test_what_other_libraries_allow_is_refused_all_the_same(tmp_path):
    path = tmp_path / "f.pt"
    torch.save({"x": time.struct_time(range(9))}, path)
    with (
        torch.serialization.safe_globals([(time.struct_time, "time.struct_time")]),
        pytest.raises(UnsafePickleError, match="struct_time"),
    ):
        load_pickle(path)


def test_archives_that_torch_would_misread(tmp_path):
    path = tmp_path / "f.pt"
    torch.save({"w": torch.ones(1000)}, path)
    with zipfile.ZipFile(path) as archive:
        records = {record.filename: archive.read(record) for record in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    with pytest.raises(CheckpointError, match="is compressed"):
        load_pickle(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("f/constants.pkl", b"")
    with pytest.raises(CheckpointError, match="TorchScript"):
        load_pickle(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_reducer_is_refused_by_name_and_not_run(tmp_path, bomb, zipped):
    trap, target = bomb
    path = tmp_path / "f.pt"
    torch.save({"w": torch.ones(2), "x": trap}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafePickleError, match=r"f\.pt.*eval"):
        load_pickle(path)
    assert not target.exists()


def test_every_needed_type_is_named(tmp_path):
    path = tmp_path / "f.pt"
    torch.save({"a": pytest.approx, "b": time.struct_time(range(9)), "c": np.random.RandomState}, path)
    with pytest.raises(UnsafePickleError, match=r"approx.*struct_time") as caught:
        load_pickle(path)
    assert "RandomState" in str(caught.value)


def test_a_reducer_in_another_pickle_protocol_is_refused(tmp_path, bomb):
    trap, target = bomb
    path = tmp_path / "f.pt"
    torch.save({"x": trap}, path, pickle_protocol=4)
    with pytest.raises(UnsafePickleError, match="protocol"):
        load_pickle(path)
    assert not target.exists()


@pytest.mark.parametrize(
    "array",
    [np.array([{"an": "object"}], dtype=object), np.zeros(2, dtype=[("a", "u4")]), np.array(["text"])],
    ids=["object", "structured", "text"],
)
def test_numpy_arrays_of_anything_but_numbers_are_refused(tmp_path, array):
    path = tmp_path / "f.pt"
    torch.save({"x": array}, path)
    with pytest.raises(UnsafePickleError, match="not a plain number type"):
        load_pickle(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_truncated_files_are_damaged_at_every_length(tmp_path, payload, zipped):
    path = tmp_path / "f.pt"
    torch.save(payload, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for length in {0, 1, 3, 4, 10, 100, *range(200, len(content), 997), len(content) - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"f\.pt"):
            load_pickle(path)


def test_foreign_files_are_told_apart_from_unsafe_ones(tmp_path):
    path = tmp_path / "f.pt"
    path.write_bytes(b"not a pickle at all" * 10)
    with pytest.raises(CheckpointError, match="not a PyTorch file") as caught:
        load_pickle(path)
    assert not isinstance(caught.value, UnsafePickleError)
    with pytest.raises(CheckpointError, match="No such file"):
        load_pickle(tmp_path / "absent.pt")


def test_storage_that_claims_more_than_the_file_has(tmp_path, rewrite_pickle):
    path = tmp_path / "f.pt"
    torch.save({"w": torch.ones(1000)}, path)
    # 1000 as the pickle's two-byte integer, for the storage and for the shape; 60000 floats are not there.
    rewrite_pickle(path, b"M\xe8\x03", b"M\x60\xea")
    with pytest.raises(CheckpointError, match=r"f\.pt"):
        load_pickle(path)


def test_containers_out_of_proportion_are_refused(tmp_path):
    """Nine levels of ten: a billion numbers for whoever prints or compares them."""
    laughs = [0] * 10
    for _ in range(9):
        laughs = [laughs] * 10
    for zipped in (True, False):
        torch.save({"args": laughs}, tmp_path / "f.pt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(UnsafePickleError, match=r"f\.pt: .*hold each other again and again"):
            load_pickle(tmp_path / "f.pt")


def test_an_array_of_bytes_as_large_as_it_says_is_refused(tmp_path, rewrite_pickle):
    path = tmp_path / "f.pt"
    torch.save({"x": complex(2.0, 0.0)}, path)
    rewrite_pickle(path, b"\ncomplex\n", b"\nbytearray\n")
    with pytest.raises(UnsafePickleError, match=r"a call of \S*bytearray"):
        load_pickle(path)


def test_files_without_checksums_are_read(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.ones(3)}, tmp_path / "f.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert load_pickle(tmp_path / "f.pt")["w"].sum() == 3


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "f.pt")
    with pytest.raises(CheckpointError, match=r"f\.pt: no regular file"):
        load_pickle(tmp_path / "f.pt")


def test_every_flipped_bit_is_found_or_changes_nothing(tmp_path):
    path = tmp_path / "f.pt"
    weights, loss = torch.arange(40.0), torch.tensor(3.5)
    torch.save({"w": weights, "val_loss": loss, "step": 5}, path)
    content = path.read_bytes()
    refused = 0
    for at in range(0, len(content), 3):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        try:
            found = load_pickle(path)
        except CheckpointError:
            refused += 1
        else:
            assert torch.equal(found["w"], weights), at
            assert (found["val_loss"], found["step"], len(found)) == (loss, 5, 3), at
    # what is left are paddings, times, and marks that nothing is made of
    assert refused > 200


def test_damaged_values_are_said_to_be_damaged(tmp_path):
    path = tmp_path / "f.pt"
    torch.save({"w": torch.full((5000,), 1.5)}, path)
    content = path.read_bytes()
    place = content.index(torch.full((5000,), 1.5).numpy().tobytes()) + 12_345
    path.write_bytes(content[:place] + b"\x40" + content[place + 1 :])
    with pytest.raises(CheckpointError, match=r"f\.pt: f/data/0 is damaged: the file states the checksum"):
        load_pickle(path)
    with open_pickle(path) as stored:  # whose values are not asked for
        assert stored.content["w"].shape == (5000,)
    path.write_bytes(content.replace(b"cpu", b"cpV"))
    with (
        pytest.raises(CheckpointError, match=r"f\.pt: f/data\.pkl is damaged: .* copy or save it again"),
        open_pickle(path),
    ):
        pass


def test_records_that_nothing_is_made_of_are_checked_when_the_file_is_opened(tmp_path):
    path = tmp_path / "f.pt"
    torch.save({"w": torch.ones(3)}, path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        marks = [record for record in archive.infolist() if "/data/" not in record.filename]
    assert {mark.filename for mark in marks} > {"f/version", "f/.data/serialization_id"}
    for mark in marks:
        name_bytes, extra_bytes = struct.unpack_from("<HH", content, mark.header_offset + 26)
        at = mark.header_offset + 30 + name_bytes + extra_bytes + mark.file_size - 1
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        words = rf"{re.escape(mark.filename)} is damaged: the file states the checksum"
        with pytest.raises(CheckpointError, match=words), open_pickle(path):
            pass


def test_values_are_read_only_where_they_are_asked_for(tmp_path):
    path = tmp_path / "f.pt"
    torch.save({"w": torch.ones(1000), "optimizer": torch.ones(1000)}, path)
    with open_pickle(path) as stored:
        assert stored.content["w"].count_nonzero() == 0
        stored.read([stored.content["w"]])
        assert stored.content["w"].sum() == 1000
        assert stored.content["optimizer"].count_nonzero() == 0
        assert stored.read_all()["optimizer"].sum() == 1000


def test_views_of_one_storage_are_read_together_and_stay_tied(tmp_path):
    path, whole = tmp_path / "f.pt", torch.arange(10.0)
    torch.save({"a": whole, "b": whole[4:], "empty": torch.empty(0), "flag": torch.tensor([True])}, path)
    found = load_pickle(path)
    assert torch.equal(found["b"], whole[4:])
    found["a"][4] = 7
    assert found["b"][0] == 7
    assert found["flag"].tolist() == [True]


def test_the_other_byte_order(tmp_path, monkeypatch):
    path = tmp_path / "f.pt"
    weights = torch.arange(5, dtype=torch.int32)
    torch.save({"w": weights.numpy().byteswap().view("i4").tolist(), "x": weights}, path)
    with zipfile.ZipFile(path) as archive:
        records = {record.filename: archive.read(record) for record in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records.items():
            archive.writestr(name, b"big" if name.endswith("byteorder") else content)
    found = load_pickle(path)
    assert found["x"].tolist() == found["w"]


@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(100), b"", b"no pickle at all"])
def test_a_reason_in_a_sentence_has_one_stop(tmp_path, content):
    path = tmp_path / "f.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"[^.]\. .*opy or save it again") as told:
        load_pickle(path)
    assert ".." not in str(told.value)
