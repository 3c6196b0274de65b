from __future__ import annotations

import pytest

from spectra_cli.extract.planning.course import Course


@pytest.fixture
def told():
    return []


@pytest.fixture
def course(told):
    return Course({"passes": 3.0, "weight": 1.0}, lambda *now: told.append(now))


def test_parts_count_by_their_weight(course, told):
    heard = course.of("passes", "pass 1 of 1, sequences")
    heard(4, 8)
    course.of("weight", "weight spectra")(1, 2)
    assert told == [
        ("pass 1 of 1, sequences", 0, 10000),
        ("pass 1 of 1, sequences: 4 of 8", 3750, 10000),
        ("weight spectra", 3750, 10000),
        ("weight spectra: 1 of 2", 5000, 10000),
    ]


def test_a_part_may_come_in_stretches(course, told):
    for first, last in ((0.0, 0.5), (0.5, 1.0)):
        course.of("passes", "pass", first=first, last=last)(1, 1)
    assert [done for _, done, _ in told] == [0, 3750, 3750, 7500]


def test_it_is_not_whole_while_anything_could_follow(course, told):
    course.of("passes", "pass")(1, 1)
    course.of("weight", "weight spectra")(1, 1)
    assert told[-1] == ("weight spectra: 1 of 1", 9999, 10000)


def test_no_work_is_no_share(told):
    Course({"weight": 0.0}, lambda *now: told.append(now)).of("weight", "weight spectra")(0, 0)
    assert {done for _, done, _ in told} == {0}
