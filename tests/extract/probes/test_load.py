import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from spectra_cli.core.errors import ProbeError, UsageError
from spectra_cli.extract.probes.load import load_probe
from spectra_cli.extract.probes.source import ProbeRequest

IDS = np.random.default_rng(0).integers(0, 200, size=500)


def request(source, **options):
    return ProbeRequest(**({"source": str(source), "num_sequences": 8, "sequence_length": 9} | options))


def load(source, *, vocab_size=256, folder=None, **options):
    return load_probe(request(source, **options), vocab_size=vocab_size, checkpoint_folder=folder)


def shard_bytes(ids):
    header = np.zeros(256, dtype="<i4")
    header[:3] = 20240520, 1, len(ids)
    return header.tobytes() + ids.astype("<u2").tobytes()


@pytest.fixture
def shard(tmp_path):
    (tmp_path / "a.bin").write_bytes(shard_bytes(IDS))
    return tmp_path / "a.bin"


def test_next_token_targets_are_the_stream_one_later(shard):
    probe = load(shard)
    assert probe.tokens.dtype == probe.targets.dtype == torch.int64
    assert probe.tokens.shape == probe.targets.shape == (8, 9)
    for row, start in enumerate(probe.info.starts):
        assert start % 10 == 0
        assert probe.tokens[row].tolist() == IDS[start : start + 9].tolist()
        assert probe.targets[row].tolist() == IDS[start + 1 : start + 10].tolist()
    info = probe.info
    assert (info.source, info.format, info.seed, info.targets) == (str(shard), "bin", 0, "next_token")
    assert (info.num_sequences, info.sequence_length, info.synthetic, info.notices) == (8, 9, False, ())
    assert info.vocab_size == max(probe.tokens.max(), probe.targets.max()) + 1


def test_the_paper_baseline_ignores_the_last_position(shard):
    probe = load(shard, targets="ignore_last", order="file", seed=None)
    assert probe.info.starts == tuple(range(0, 72, 9))
    assert probe.info.seed is None
    assert probe.tokens.flatten().tolist() == IDS[:72].tolist()
    assert (probe.targets[:, -1] == -100).all()
    assert (probe.targets[:, :-1] == probe.tokens[:, 1:]).all()


def test_the_digest_is_of_lengths_targets_and_ids(shard):
    probe = load(shard)
    expected = hashlib.sha256(b"8,9,next_token,<i8\n")
    expected.update(probe.tokens.numpy().astype("<i8").tobytes())
    expected.update(probe.targets.numpy().astype("<i8").tobytes())
    assert probe.info.digest == expected.hexdigest()


def test_the_digest_tells_probes_apart(shard):
    variants = [{}, {"seed": 1}, {"order": "file"}, {"targets": "ignore_last"}, {"num_sequences": 9}]
    digests = [load(shard, **options).info.digest for options in variants]
    assert len(set(digests)) == len(digests)
    assert load(shard).info.digest == digests[0]


def test_every_container_of_the_same_ids_is_the_same_probe(tmp_path, shard):
    np.save(tmp_path / "a.npy", IDS.astype(np.int32))
    torch.save(torch.from_numpy(IDS), tmp_path / "a.pt")
    save_file({"tokens": torch.from_numpy(IDS)}, tmp_path / "a.safetensors")
    IDS.astype("<u2").tofile(tmp_path / "b.bin")
    IDS.astype("<u4").tofile(tmp_path / "c.bin")
    probes = [load(tmp_path / name) for name in ("a.bin", "a.npy", "a.pt", "a.safetensors")]
    probes += [load(tmp_path / "b.bin", format="bin-uint16"), load(tmp_path / "c.bin", format="bin-uint32")]
    assert len({probe.info.digest for probe in probes}) == 1
    formats = [probe.info.format for probe in probes]
    assert formats == ["bin", "npy", "pt", "safetensors", "bin-uint16", "bin-uint32"]


@pytest.mark.parametrize("pattern", ["", "*.bin", "train_0?.bin"])
def test_shards_of_a_folder_or_glob_are_taken_in_name_order(tmp_path, pattern):
    for number in (3, 1, 4, 0, 2):
        (tmp_path / f"train_0{number}.bin").write_bytes(shard_bytes(IDS[number * 100 :][:100]))
    (tmp_path / "README.md").write_text("not tokens")
    probe = load(tmp_path / pattern, order="file", num_sequences=50)
    assert probe.tokens[:, 0].tolist() == IDS[::10].tolist()


def test_a_path_that_exists_is_never_a_pattern(tmp_path):
    (tmp_path / "a[1].bin").write_bytes(shard_bytes(IDS))
    assert load(tmp_path / "a[1].bin").info.format == "bin"


def test_text_with_the_checkpoints_own_tokenizer(tmp_path, tokenizer_folder):
    (tmp_path / "a.txt").write_text("the cat sat on the mat and the dog sat on the log. " * 20)
    (tmp_path / "notes").write_text((tmp_path / "a.txt").read_text())
    probe = load(tmp_path / "a.txt", folder=str(tokenizer_folder), vocab_size=300)
    assert probe.info.format == "text"
    assert probe.info.tokenizer == str(tokenizer_folder)
    forced = load(tmp_path / "notes", format="text", tokenizer=str(tokenizer_folder), vocab_size=300)
    assert forced.info.digest == probe.info.digest


def test_rows_longer_than_asked_for_are_announced(tmp_path):
    np.save(tmp_path / "a.npy", IDS.reshape(20, 25))
    assert load(tmp_path / "a.npy").info.notices == (
        "of each ready sequence of 25 ids the first 10 were taken",
    )


def test_a_synthetic_probe_says_so():
    probe = load("synthetic", vocab_size=40, seed=5)
    assert probe.info.synthetic
    assert (probe.info.format, probe.info.seed, probe.info.starts) == ("synthetic", 5, ())
    assert "synthetic tokens" in probe.info.notices[0]
    assert probe.info.vocab_size <= 40
    assert (probe.targets[:, :-1] == probe.tokens[:, 1:]).all()
    assert load("synthetic", vocab_size=40, seed=5, order="file").info.digest == probe.info.digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": ""}, "no probe was given"),
        ({"sequence_length": 1}, "sequence length is 1; expected at least 2"),
        ({"num_sequences": 0}, "0 sequences"),
        ({"seed": None}, "no seed"),
        ({"source": "synthetic", "seed": None, "order": "file"}, "no seed"),
        ({"order": "sorted"}, "order is 'sorted'"),
        ({"targets": "wrap"}, "targets 'wrap'"),
    ],
)
def test_requests_that_no_file_could_satisfy(shard, options, message):
    with pytest.raises(ProbeError, match=message):
        load_probe(request(**({"source": shard} | options)), vocab_size=256, checkpoint_folder=None)


def test_a_format_that_is_not_in_the_registry(shard):
    with pytest.raises(UsageError, match="no probe format 'bin-headerless'; formats: bin, bin-uint16"):
        load(shard, format="bin-headerless")


def test_files_that_are_not_there(tmp_path):
    for source in (tmp_path / "none.bin", tmp_path / "*.bin"):
        with pytest.raises(ProbeError, match=r"there is no probe at .*no such file"):
            load(source)
    with pytest.raises(ProbeError, match=r"the folder holds no \.bin or \.npy files"):
        load(tmp_path)


def test_files_of_unknown_or_mixed_kinds(tmp_path, shard):
    (tmp_path / "a.csv").touch()
    with pytest.raises(ProbeError, match=r"\.csv is not the suffix of a probe .*name its format"):
        load(tmp_path / "a.csv")
    np.save(tmp_path / "a.npy", IDS)
    with pytest.raises(ProbeError, match=r"several kinds \(\.bin, \.npy\)"):
        load(tmp_path)
    assert load(tmp_path, format="npy").info.format == "npy"


def test_ids_outside_the_vocabulary(shard):
    with pytest.raises(ProbeError, match=r"ids 0 to 99"):
        load(shard, vocab_size=100)
