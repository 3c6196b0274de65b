import pickle
import warnings
from pathlib import PurePosixPath

import pytest
import torch
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex
from torch.distributed.checkpoint.state_dict_saver import save

from spectra_cli.core.errors import CheckpointError, UnsafePickleError
from spectra_cli.extract.checkpoints.distributed.metadata import METADATA, read_metadata


@pytest.fixture
def folder(tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        state = {"model": {"a": torch.ones(3, 4), "b": torch.ones((), dtype=torch.bfloat16)}, "lr": 0.1}
        save(state, checkpoint_id=tmp_path, no_dist=True)
    return tmp_path


@pytest.fixture
def edit(folder):
    """Change the pickled metadata, with torch's own classes."""

    def change(function):
        path = folder / METADATA
        metadata = pickle.loads(path.read_bytes())  # noqa: S301
        function(metadata)
        path.write_bytes(pickle.dumps(metadata))

    return change


def _info(metadata, name):
    return next(info for index, info in metadata.storage_data.items() if index.fqn == name)


def _chunks(metadata):
    return metadata.state_dict_metadata["model.a"].chunks


def _split(metadata, *boxes):
    """Give `model.a` chunks at these offsets, of these sizes."""
    info = _info(metadata, "model.a")
    boxes = [(torch.Size(offsets), torch.Size(sizes)) for offsets, sizes in boxes]
    _chunks(metadata)[:] = [ChunkStorageMetadata(offsets=o, sizes=s) for o, s in boxes]
    metadata.storage_data |= {MetadataIndex("model.a", offsets): info for offsets, _ in boxes}


def _resize(metadata, shape):
    """Give `model.a` a shape that `torch.Size` may not be able to have."""
    metadata.state_dict_metadata["model.a"].size = shape


def test_what_was_saved_is_what_is_read(folder):
    entries = read_metadata(folder)
    assert {name: (t.shape, t.dtype) for name, t in entries.tensors.items()} == {
        "model.a": ((3, 4), torch.float32),
        "model.b": ((), torch.bfloat16),
    }
    assert entries.tensors["model.a"].num_bytes == 48
    assert entries.paths == {"model.a": ("model", "a"), "model.b": ("model", "b"), "lr": ("lr",)}
    (chunk,) = entries.tensors["model.a"].chunks
    assert (chunk.offsets, chunk.sizes, chunk.file) == ((0, 0), (3, 4), "__0_0.distcp")


def test_chunks_that_tile_are_accepted_and_empty_ones_left_out(folder, edit):
    edit(lambda m: _split(m, ((0, 0), (2, 4)), ((2, 0), (1, 1)), ((2, 1), (1, 3)), ((3, 0), (0, 4))))
    assert [c.offsets for c in read_metadata(folder).tensors["model.a"].chunks] == [(0, 0), (2, 0), (2, 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: _split(m, ((0, 0), (2, 4))), r"do not fill its shape \(3, 4\)"),
        (lambda m: _split(m, ((0, 0), (2, 4)), ((1, 0), (1, 4))), "two chunks of model.a overlap"),
        (lambda m: _split(m, ((0, 0), (2, 4)), ((3, 0), (1, 4))), "reaches beyond its shape"),
        (lambda m: m.storage_data.clear(), "no file is named for the chunk"),
        (lambda m: setattr(_info(m, "model.a"), "relative_path", "../x"), r"said to be in '\.\./x'"),
        (lambda m: setattr(_info(m, "model.a"), "offset", -1), "expected a number of bytes"),
        (lambda m: setattr(_info(m, "model.a"), "length", 2**63), "expected a number of bytes"),
        (lambda m: _split(m, ((0, 0), (3, -4))), r"expected sizes, found \(3, -4\)"),
        (lambda m: _resize(m, (3, 2**63)), "expected sizes"),
        (lambda m: _resize(m, (0, 2**62, 2**62)), "expected sizes"),
        (lambda m: _resize(m, (1,) * 100), "expected sizes"),
        (
            lambda m: setattr(_info(m, "model.a"), "length", 47),
            r"shape \(3, 4\) is claimed to be in 47 bytes",
        ),
        (lambda m: setattr(_info(m, "model.a"), "transform_descriptors", ["zstd"]), "zstd"),
        (lambda m: setattr(m, "storage_data", None), "not the metadata"),
        (
            lambda m: m.state_dict_metadata.update(c=m.storage_meta),
            "expected TensorStorage.*found StorageMeta",
        ),
    ],
)
def test_metadata_that_contradict_themselves(folder, edit, change, message):
    edit(change)
    with pytest.raises(CheckpointError, match=message):
        read_metadata(folder)


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"not a pickle", pickle.dumps([1])])
def test_damaged_pickles(folder, content):
    (folder / METADATA).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"\.metadata: "):
        read_metadata(folder)


def test_types_outside_the_list_are_named(folder, edit):
    edit(lambda m: setattr(m, "planner_data", pytest.raises))
    with pytest.raises(UnsafePickleError, match=r"needs _pytest\.\S*raises.*Nothing of it was executed"):
        read_metadata(folder)


def test_one_file_leaves_nothing_behind_for_the_next(folder, edit):
    """A pickle may write into the classes it names: they are made anew for each file."""
    before = (folder / METADATA).read_bytes()
    name = b"\x8c\x25torch.distributed.checkpoint.metadata\x8c\x08Metadata"
    hostile = b"\x80\x04" + name + b"\x93N}\x8c\x06fields\x8c\x01xs\x86b."
    (folder / METADATA).write_bytes(hostile)
    with pytest.raises(CheckpointError):
        read_metadata(folder)
    (folder / METADATA).write_bytes(before)
    assert read_metadata(folder).tensors


def test_paths_are_no_hindrance(folder, edit):
    edit(lambda m: setattr(m.storage_meta, "checkpoint_id", PurePosixPath("/elsewhere")))
    assert read_metadata(folder).tensors


def test_pickles_out_of_proportion_are_refused(folder):
    (folder / METADATA).write_bytes(b"\x80\x04}r\xff\xff\xff\xff.")
    with pytest.raises(UnsafePickleError, match=r"\.metadata: the memo slot 4294967295"):
        read_metadata(folder)
