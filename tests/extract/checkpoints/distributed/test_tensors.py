import warnings
from dataclasses import replace

import pytest
import torch
from torch.distributed.checkpoint.filesystem import FileSystemWriter, SerializationFormat
from torch.distributed.checkpoint.state_dict_saver import save

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.distributed.metadata import ShardedTensor, read_metadata
from spectra_cli.extract.checkpoints.distributed.tensors import check_shards, read_tensor

WHOLE = torch.arange(15.0).reshape(5, 3)
PIECES = {"a": (slice(0, 2), slice(None)), "b": (slice(2, 5), slice(0, 1)), "c": (slice(2, 5), slice(1, 3))}


@pytest.fixture
def sharded(tmp_path):
    """A tensor whose three chunks, by rows and columns, were written as if by three ranks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        save({n: WHOLE[box].clone() for n, box in PIECES.items()}, checkpoint_id=tmp_path, no_dist=True)
    entries = read_metadata(tmp_path)
    chunks = tuple(
        replace(entries.tensors[name].chunks[0], offsets=(rows.start or 0, columns.start or 0))
        for name, (rows, columns) in PIECES.items()
    )
    return tmp_path, ShardedTensor(shape=(5, 3), dtype=torch.float32, chunks=chunks)


def test_chunks_fall_into_place(sharded):
    folder, stored = sharded
    assert [file.name for file in check_shards(folder, [stored])] == ["__0_0.distcp"]
    torch.testing.assert_close(read_tensor(folder, "w", stored), WHOLE, rtol=0, atol=0)


@pytest.mark.parametrize("change", [{"dtype": torch.float64}, {"chunks": ()}])
def test_chunks_of_another_dtype_or_none(sharded, change):
    folder, stored = sharded
    stored = replace(stored, **change)
    if not stored.chunks:
        assert read_tensor(folder, "w", replace(stored, shape=(0, 3))).shape == (0, 3)
        return
    with pytest.raises(CheckpointError, match=r"float32 of shape .*, the metadata says torch\.float64"):
        read_tensor(folder, "w", stored)


def test_a_chunk_in_the_wrong_place(sharded):
    folder, stored = sharded
    moved = replace(stored, chunks=(replace(stored.chunks[0], begin=3), *stored.chunks[1:]))
    with pytest.raises(CheckpointError, match="the chunk of w at byte 3"):
        read_tensor(folder, "w", moved)


def test_a_link_out_of_the_folder(sharded, tmp_path_factory):
    folder, stored = sharded
    outside = tmp_path_factory.mktemp("outside") / "shard"
    (folder / "__0_0.distcp").rename(outside)
    (folder / "__0_0.distcp").symlink_to(outside)
    with pytest.raises(CheckpointError, match="outside the folder"):
        check_shards(folder, [stored])


@pytest.fixture
def in_safetensors(tmp_path):
    """A tensor in torch's safetensors form, and the folder."""
    writer = FileSystemWriter(tmp_path, serialization_format=SerializationFormat.SAFETENSORS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        save({"w": torch.ones(2, 3)}, storage_writer=writer, no_dist=True)
    return tmp_path, read_metadata(tmp_path).tensors["w"]


def test_a_chunk_that_torch_overwrote(in_safetensors):
    """Of several chunks of one name in a file, torch's safetensors form keeps the last."""
    folder, stored = in_safetensors
    lower = replace(stored.chunks[0], offsets=(2, 0))
    with pytest.raises(CheckpointError, match=r"the one at \[2, 0\] was overwritten"):
        read_tensor(folder, "w", replace(stored, shape=(4, 3), chunks=(lower,)))


def test_a_chunk_in_safetensors_of_another_dtype_of_the_same_size(in_safetensors):
    folder, stored = in_safetensors
    with pytest.raises(CheckpointError, match=r"it is F32 of shape \[2, 3\], the metadata says torch\.int32"):
        read_tensor(folder, "w", replace(stored, dtype=torch.int32))
