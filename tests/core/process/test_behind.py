"""Work behind the reading: in order, two held at a time, errors where they happen."""

from __future__ import annotations

import pytest

from spectra_cli.core.process.behind import behind


def test_results_come_in_order_and_nothing_is_read_far_ahead():
    read: list[int] = []

    def reading():
        for number in range(6):
            read.append(number)
            yield number

    for number, made in enumerate(behind(lambda one: one * 10, reading())):
        assert made == number * 10
        assert len(read) <= number + 2
    assert list(behind(str, ())) == []


@pytest.mark.parametrize("where", ["work", "reading"])
def test_an_error_ends_it(where):
    def reading():
        yield from (1, 2)
        if where == "reading":
            raise ValueError("third")
        yield 3

    def work(number: int) -> int:
        if number == 3:
            raise ValueError("third")
        return number

    made = behind(work, reading())
    assert next(made) == 1
    with pytest.raises(ValueError, match="third"):
        list(made)
