import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.core.errors import ProbeError
from spectra_cli.extract.probes.load import load_probe
from spectra_cli.extract.probes.shards import read_headerless
from spectra_cli.extract.probes.source import ProbeRequest, TokenFile
from spectra_cli.extract.probes.tensors import read_npy
from spectra_cli.extract.probes.windows import choose_windows, cut_windows, gather_windows


def request(n, t, **options):
    return ProbeRequest(source="x", num_sequences=n, sequence_length=t, **options)


def files(*arrays):
    return [TokenFile(name=f"f{i}", ids=np.asarray(ids)) for i, ids in enumerate(arrays)]


def take(parts, spec, vocab_size=10**6):
    windows = cut_windows(parts, spec)
    return gather_windows(windows, choose_windows(windows, spec), vocab_size=vocab_size)


lengths = st.lists(st.integers(1, 40), min_size=1, max_size=4)


@given(lengths, st.integers(2, 6), st.integers(1, 8), st.sampled_from(["next_token", "ignore_last"]))
def test_windows_are_what_a_plain_loop_cuts(sizes, t, n, targets):
    spec = request(n, t, order="file", targets=targets)
    stream = np.arange(sum(sizes))
    parts, expected, start = [], [], 0
    for size in sizes:
        parts.append(stream[start : start + size])
        expected += [start + i for i in range(0, size - spec.width + 1, spec.width)]
        start += size
    if len(expected) < n:
        with pytest.raises(ProbeError):
            take(files(*parts), spec)
        return
    ids, starts = take(files(*parts), spec)
    assert starts.tolist() == expected[:n]
    # the id of a token is its offset
    assert (ids == starts[:, None] + np.arange(spec.width)).all()


def test_a_seeded_choice_is_drawn_without_replacement_and_kept_in_order():
    spec = request(20, 4, seed=3)
    ids, starts = take(files(np.arange(50), np.arange(50, 150)), spec)
    drawn = np.random.default_rng(3).choice(30, size=20, replace=False)
    offsets = [5 * i for i in range(10)] + [50 + 5 * i for i in range(20)]
    assert starts.tolist() == [offsets[i] for i in drawn]
    assert len(set(starts.tolist())) == 20
    assert sorted(starts.tolist()) != starts.tolist()
    assert (ids[:, 0] == starts).all()


def test_rows_are_ready_sequences():
    rows = np.arange(12).reshape(3, 4)
    ids, starts = take(files(rows), request(2, 3, order="file"))
    assert ids.tolist() == rows[:2].tolist()
    assert starts.tolist() == [0, 4]
    shorter, starts = take(files(rows), request(3, 2, order="file"))
    assert shorter.tolist() == rows[:, :3].tolist()
    assert starts.tolist() == [0, 4, 8]


@pytest.mark.parametrize(("targets", "fits"), [("next_token", 3), ("ignore_last", 4)])
def test_rows_that_are_too_short(targets, fits):
    spec = request(1, 5, targets=targets)
    with pytest.raises(ProbeError, match=f"sequences of 4 ids.*--sequence-length {fits} would fit"):
        cut_windows(files(np.zeros((3, 4), int)), spec)
    take(files(np.zeros((3, 4), int)), request(1, fits, targets=targets))


@given(lengths, st.integers(2, 12), st.integers(1, 12), st.sampled_from(["next_token", "ignore_last"]))
def test_what_is_said_to_fit_does_fit_and_no_more(sizes, t, n, targets):
    parts, spec = files(*(np.zeros(size, int) for size in sizes)), request(n, t, targets=targets)
    try:
        take(parts, spec)
    except ProbeError as error:
        words = str(error).replace(",", " ").split()
        for option, change in (("--sequences", "n"), ("--sequence-length", "t")):
            if option not in words:
                continue
            value = int(words[words.index(option) + 1])
            fitting = (value, t) if change == "n" else (n, value)
            beyond = (value + 1, t) if change == "n" else (n, value + 1)
            take(parts, request(*fitting, targets=targets))
            with pytest.raises(ProbeError):
                take(parts, request(*beyond, targets=targets))


def test_too_few_tokens_says_what_there_is_and_what_is_needed():
    with pytest.raises(ProbeError) as caught:
        take(files(np.zeros(100, int)), request(11, 9))
    assert str(caught.value) == (
        "f0: 100 tokens hold 10 sequences of 10 ids; 11 sequences of length 9 need 110 tokens; "
        "--sequences 10 --gradient-sequences 10 or --sequence-length 8 would fit"
    )
    with pytest.raises(ProbeError, match="give the probe more tokens"):
        take(files(np.zeros(3, int)), request(2, 9))


@pytest.mark.parametrize("shape", [(0,), (0, 4), (2, 0)])
def test_an_empty_file_is_refused(shape):
    with pytest.raises(ProbeError, match="f0 holds no tokens"):
        cut_windows(files(np.zeros(shape, int)), request(1, 2))


@pytest.mark.parametrize("shape", [(), (2, 2, 2)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ProbeError, match=r"f0 has shape \(.*expected a stream"):
        cut_windows(files(np.zeros(shape, int)), request(1, 2))


@pytest.mark.parametrize("bad", [50, -1])
def test_an_id_outside_the_vocabulary_is_named_with_its_place(bad):
    second = np.zeros(20, int)
    second[13] = bad
    spec = request(10, 3, order="file")
    with pytest.raises(ProbeError, match=rf"f1 has id {bad} at token 13, .* ids 0 to 49.*another tokenizer"):
        take(files(np.full(20, 49), second), spec, vocab_size=50)


def test_only_the_chosen_windows_are_read():
    stream = np.zeros(100, int)
    stream[50:] = 999
    ids, _ = take(files(stream), request(5, 9, order="file"), vocab_size=50)
    assert ids.max() == 0


def test_a_count_that_no_scan_takes_is_not_offered():
    with pytest.raises(ProbeError) as caught:
        take(files(np.zeros(9, int)), request(11, 7))
    assert str(caught.value).endswith("need 88 tokens; give the probe more tokens")


REQUEST = ProbeRequest(source="x", num_sequences=3, sequence_length=4)


def opened(path, shape, dtype, order="C"):
    ids = np.arange(1, np.prod(shape) + 1).reshape(shape).astype(dtype)
    if path.suffix == ".npy":
        np.save(path, np.asarray(ids, order=order))
        return TokenFile(name=str(path), ids=read_npy(path)), ids
    ids.tofile(path)
    return TokenFile(name=str(path), ids=read_headerless(path, dtype)), ids


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "order"),
    [
        ("a.bin", (3000,), "<u2", "C"),
        ("a.npy", (3000,), ">i4", "C"),
        ("a.npy", (300, 7), "<i8", "C"),
        ("a.npy", (300, 7), "<i8", "F"),
    ],
)
def test_windows_read_are_windows_mapped(tmp_path, name, shape, dtype, order):
    file, ids = opened(tmp_path / name, shape, dtype, order)
    windows = cut_windows([file], REQUEST)
    chosen = np.array([7, 0, len(windows[0].rows) - 1])
    found, starts = gather_windows(windows, chosen, vocab_size=2**31)
    flat = ids.ravel()
    assert found.tolist() == [flat[start : start + 5].tolist() for start in starts]


@pytest.mark.parametrize("name", ["a.bin", "a.npy"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_truncated_after_it_was_opened_is_an_error(tmp_path, name, order):
    shape = (5000,) if name == "a.bin" else (1000, 5)
    file, _ = opened(tmp_path / name, shape, "<u2", order)
    windows = cut_windows([file], REQUEST)
    os.truncate(tmp_path / name, 0)
    with pytest.raises(ProbeError, match=r"has 0 bytes, and had \d+ when it was opened: it changed"):
        gather_windows(windows, np.array([0, 900]), vocab_size=2**16)


def test_a_probe_is_the_same_from_file_and_memory(tmp_path):
    ids = np.random.default_rng(0).integers(0, 99, 5000).astype("<u2")
    ids.tofile(tmp_path / "a.bin")
    wanted = ProbeRequest(
        source=str(tmp_path / "a.bin"), num_sequences=8, sequence_length=9, format="bin-uint16"
    )
    probe = load_probe(wanted, vocab_size=99, checkpoint_folder=None)
    for row, start in zip(probe.tokens.tolist(), probe.info.starts, strict=True):
        assert row == ids[start : start + 9].tolist()
