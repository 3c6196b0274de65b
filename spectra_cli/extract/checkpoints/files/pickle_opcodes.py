"""What a pickle would call and how large its result would be, from its opcodes: nothing is built or called.

Unpicklers that run nothing can still be made to take all memory or time: by a memo slot with a huge number,
by a constructor that is given a size, and by containers that hold each other again and again, so that a
kilobyte is 10^20 numbers to whatever hashes, compares or prints it.
"""

from __future__ import annotations

import pickle
import pickletools
import re
from collections.abc import Callable
from functools import partial
from typing import IO, Any

# As written out without sharing: characters and values, for each byte of the pickle and beyond those.
_GROWTH, _FREE = 64, 1 << 24
_MAX_DEPTH = 200
_MOST_OPCODES = 1 << 23  # a state dict has thirty a tensor
_MAX_GAP = 1 << 16  # picklers number the slots of their memo one after another

# They allocate what they are told to; what torch.save writes names storages and never calls them.
_ALLOCATES = re.compile(r"(?:.*\.)?(?:bytearray|\w*Tensor|\w*Storage|_rebuild_nested_tensor)")
_ENCODE = "_codecs.encode"
_INDIRECT = "torch._tensor._rebuild_from_type_v2"

_LITERALS = [
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
]


class HostilePickle(pickle.UnpicklingError):
    """It would take memory or time out of all proportion to the file, or calls what no checkpoint needs."""


class _Name(str):
    """`module.name` of a global."""

    __slots__ = ()


def check_pickle(content: bytes | IO[bytes]) -> None:
    """Refuse a pickle whose result would be out of proportion.

    Args:
        content: the pickle, or a file at its beginning, which is left at its end.

    Raises:
        HostilePickle: as said above.
        ValueError: not a pickle, or a damaged one.
    """
    stack = _Stack()
    begin, end = -1, 0
    try:
        for number, (opcode, argument, position) in enumerate(pickletools.genops(content)):
            if number > _MOST_OPCODES:
                raise HostilePickle(f"more than {_MOST_OPCODES} values")
            end = position or 0
            begin = end if begin < 0 else begin
            stack.actions[opcode.name](argument)
        _weigh(stack.values, 0, {}, _FREE + _GROWTH * (end - begin))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a pickle of tensors and plain containers: {error}") from error


class _Stack:
    """The unpickler's stack with, for each object, the list of what it is made of; all else as it is."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self.actions: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys(_LITERALS, self._push),
            **dict.fromkeys(("EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"), self._push_new),
            **dict.fromkeys(("TUPLE", "LIST", "DICT", "FROZENSET"), self._push_marked),
            **dict.fromkeys(("APPENDS", "SETITEMS", "ADDITEMS"), self._extend),
            **{name: partial(self._add, count) for name, count in _ADDS.items()},
            **{name: partial(self._push_tuple, count) for name, count in _TUPLES.items()},
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._remember),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), self._recall),
            **dict.fromkeys(("GLOBAL", "STACK_GLOBAL"), self._push_global),
            **dict.fromkeys(("REDUCE", "NEWOBJ"), self._call),
            **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _: None),
            "MARK": self._mark,
            "MEMOIZE": self._remember,
        }

    def _push(self, argument: Any) -> None:
        self.values.append(argument)

    def _push_new(self, _: None) -> None:
        self.values.append([])

    def _push_tuple(self, count: int, _: None) -> None:
        self.values.append(self._taken(count))

    def _push_global(self, argument: str | None) -> None:
        module, name = self._taken(2) if argument is None else argument.split(" ", 1)
        self.values.append(_Name(f"{module}.{name}"))

    def _push_marked(self, _: None) -> None:
        marked, self.values = self.values, self._below.pop()
        self.values.append(marked)

    def _mark(self, _: None) -> None:
        self._below.append(self.values)
        self.values = []

    def _extend(self, _: None) -> None:
        marked, self.values = self.values, self._below.pop()
        self.values[-1].extend(marked)

    def _add(self, count: int, _: None) -> None:
        taken = self._taken(count)
        self.values[-1].extend(taken)

    def _taken(self, count: int) -> list[Any]:
        if len(self.values) < count:
            raise IndexError("too few values")
        taken = self.values[-count:]
        del self.values[-count:]
        return taken

    def _remember(self, slot: int | None) -> None:
        slot = len(self._memo) if slot is None else slot
        # unpicklers in C make room for as many slots as the number says
        if slot > len(self._memo) + _MAX_GAP:
            raise HostilePickle(f"the memo slot {slot} where {len(self._memo)} are in use")
        self._memo[slot] = self.values[-1]

    def _recall(self, slot: int) -> None:
        self.values.append(self._memo[slot])

    def _call(self, _: None) -> None:
        function, arguments = self._taken(2)
        _check_call(function, arguments)
        self.values.append([arguments])


# opcode -> how many values it takes from the stack, into the container below them or into a tuple
_ADDS = {"APPEND": 1, "BUILD": 1, "SETITEM": 2}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "BINPERSID": 1}


def _check_call(function: Any, arguments: Any) -> None:
    """Raises HostilePickle for what allocates by number, and for calls that hide what is called."""
    if not isinstance(function, _Name):
        raise HostilePickle("a call of something that it has made itself")
    if _ALLOCATES.fullmatch(function):
        raise HostilePickle(f"a call of {function}")
    if function == _ENCODE:
        text, codec = arguments
        # how bytes are written; other codecs can be chained, each doubling what the last one gave
        if type(text) is not str or codec not in ("latin1", "latin-1"):
            raise HostilePickle(f"a call of {function} with {codec!r:.40}; expected text as latin1")
    if function == _INDIRECT:
        _check_call(arguments[0], arguments[2])


def _weigh(node: list[Any], level: int, known: dict[int, tuple[int, int]], most: int) -> tuple[int, int]:
    """Size of an object written out, each shared part again wherever it stands, and how deep it is nested."""
    size, depth = 1, 0
    for part in node:
        if type(part) is list:
            if id(part) not in known:
                if level >= _MAX_DEPTH:
                    raise HostilePickle(f"containers nested more than {_MAX_DEPTH} deep, or in themselves")
                known[id(part)] = _weigh(part, level + 1, known, most)
            part_size, part_depth = known[id(part)]
            size += part_size
            depth = max(depth, part_depth)
        else:
            size += 1 + (len(part) if isinstance(part, (str, bytes)) else 0)
    if size > most or depth >= _MAX_DEPTH:
        raise HostilePickle(
            f"containers that hold each other again and again: more than {most} values written out, or more "
            f"than {_MAX_DEPTH} levels"
        )
    return size, depth + 1
