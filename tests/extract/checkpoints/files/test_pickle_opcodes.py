import io
import pickle
import struct
from itertools import pairwise

import pytest
import torch

from spectra_cli.extract.checkpoints.files.pickle_opcodes import HostilePickle, check_pickle


def program(*opcodes, protocol=2):
    return b"\x80" + bytes([protocol]) + b"".join(opcodes) + b"."


def a_global(name):
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def text(content):
    return b"X" + struct.pack("<I", len(content)) + content.encode()


def laughs(levels, make=tuple):
    """Containers of ten, each ten times the one below."""
    inner = make(range(3))
    for _ in range(levels):
        inner = make([inner] * 10)
    return inner


def filled_from_the_top(levels):
    """The same in lists that are all made first, so that each is empty where it is put into another."""
    slots = [bytes([slot]) for slot in range(levels)]
    made = b"".join(b"]q" + slot for slot in slots)
    filled = [b"h" + upper + b"(" + 10 * (b"h" + lower) + b"e" for upper, lower in pairwise(slots)]
    return program(made, *filled, b"h\x00")


def nested(depth):
    inner = []
    for _ in range(depth):
        inner = [inner]
    return inner


def in_itself():
    inner = []
    inner.append(inner)
    return inner


PLAIN = {
    "numbers": [1, 2.5, True, None, 10**200, b"bytes", "text"],
    "args": {"betas": (0.9, 0.95), "nested": [{"a": {1, 2}}]},
    "shared": [laughs(3)] * 100,
    "deep": nested(150),
    "complex": 2j,
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("value", PLAIN.values(), ids=PLAIN)
def test_what_is_in_proportion_passes(value, protocol):
    check_pickle(pickle.dumps(value, protocol))


HOSTILE = {
    "laughs in tuples": (pickle.dumps(laughs(12), 2), "hold each other again and again"),
    "laughs in lists": (pickle.dumps(laughs(12, list), 4), "hold each other again and again"),
    # put together by hand: Python itself would have to hash the key
    "laughs as a key": (program(b"}", pickle.dumps(laughs(12), 2)[2:-1], b"K\x01s"), "again and again"),
    "laughs from the top": (filled_from_the_top(12), "hold each other again and again"),
    "long text again and again": (pickle.dumps([["x" * 10**5] * 1000] * 1000), "again and again"),
    "deep": (pickle.dumps(nested(250), 2), "more than 200 deep"),
    "in itself": (pickle.dumps(in_itself(), 2), "or in themselves"),
    "memo slot": (program(b"]r", struct.pack("<I", 2**32 - 1)), "the memo slot 4294967295"),
    "bytearray": (program(a_global("builtins.bytearray"), b"K\x08\x85R"), "a call of builtins.bytearray"),
    "bytearray of Python 2": (program(a_global("__builtin__.bytearray"), b"K\x08\x85R"), "bytearray"),
    "storage": (program(a_global("torch.storage.UntypedStorage"), b"K\x08\x85R"), "UntypedStorage"),
    "tensor": (program(a_global("torch.FloatTensor"), b"K\x08\x85\x81"), "a call of torch.FloatTensor"),
    "through another": (
        program(
            a_global("torch._tensor._rebuild_from_type_v2"),
            b"(" + a_global("torch.Tensor") + a_global("torch.Tensor"),
            b"K\x08\x85}tR",
        ),
        "a call of torch.Tensor",
    ),
    "doubling codec": (
        program(a_global("_codecs.encode"), text("x"), text("hex"), b"\x86R"),
        "with 'hex'; expected text as latin1",
    ),
    "calls what it made": (program(b"]K\x08\x85R"), "made itself"),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_what_is_out_of_proportion_is_refused(attack):
    content, message = HOSTILE[attack]
    with pytest.raises(HostilePickle, match=message):
        check_pickle(content)


DAMAGED = [b"", b"not a pickle", b"\x80\x02", *map(program, (b"h\x05", b"\x85", b"t", b"K\x01a"))]


@pytest.mark.parametrize("content", DAMAGED)
def test_damage(content):
    with pytest.raises(ValueError, match=r"pickle|stack|opcode|expected"):
        check_pickle(content)


def test_a_file_is_left_behind_its_first_pickle():
    file = io.BytesIO(pickle.dumps(1) + pickle.dumps([2]))
    check_pickle(file)
    assert pickle.load(file) == [2]  # noqa: S301


def test_every_kind_of_tensor_passes(tmp_path):
    """Also those that `torch.save` writes through storages without a class of their own."""
    kinds = (torch.float32, torch.bfloat16, torch.uint16, torch.float8_e4m3fn, torch.bool, torch.complex64)
    state = {str(kind): torch.zeros(2).to(kind) for kind in kinds}
    state["parameter"] = torch.nn.Parameter(torch.zeros(2))
    vars(state["parameter"])["label"] = "own"
    torch.save(state, tmp_path / "f.pt", _use_new_zipfile_serialization=False)
    with (tmp_path / "f.pt").open("rb") as file:
        for _ in range(5):
            check_pickle(file)
