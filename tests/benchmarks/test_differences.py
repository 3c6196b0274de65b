"""What counts as a difference between archives and documents, and what does not."""

import shutil
from pathlib import Path

import h5py
import pytest

from benchmarks.differences import archive_differences, document_differences

FORMATS = Path(__file__).parents[1] / "archive" / "formats"


@pytest.fixture
def pair(tmp_path):
    copies = tmp_path / "a.h5", tmp_path / "b.h5"
    for copy in copies:
        shutil.copy(FORMATS / "1.2.h5", copy)
    return copies


def test_an_archive_is_its_own_copy(pair):
    assert archive_differences(*pair) == []


@pytest.mark.parametrize("kind", ["bit", "attribute", "variable", "execution"])
def test_every_bit_of_an_archive_counts(pair, kind):
    with h5py.File(pair[1], "r+") as file:
        name = next(n for n, v in file["activation_covariance"].items() if v.dtype == "f8" and v.ndim > 1)
        place = f"activation_covariance/{name}"
        if kind == "bit":
            values = file[place][()]
            values.reshape(-1).view("u8")[0] ^= 1
            file[place][...] = values
        elif kind == "attribute":
            file[place].attrs["long_name"] = "other"
        elif kind == "variable":
            del file[place]
        else:
            place = "execution"
            file[place][0] = '{"device": "another"}'
    assert any(difference.startswith(place) for difference in archive_differences(*pair))


def test_times_and_the_digests_over_them_do_not_count(pair):
    with h5py.File(pair[1], "r+") as file:
        text = file["execution"].asstr()[0]
        assert '"seconds":' in text
        file["execution"][0] = text.replace('"seconds":', '"seconds":9')
        file["content_digest"][0] = "0" * 64
    assert archive_differences(*pair) == []


def test_kinds_of_notices_count_where_both_have_them(pair):
    with h5py.File(pair[1], "r+") as file:
        file.create_dataset("notice_kinds", data=["[]"])
    assert archive_differences(*pair) == []
    with h5py.File(pair[0], "r+") as file:
        file.create_dataset("notice_kinds", data=['["other"]'])
    assert [place.partition(":")[0] for place in archive_differences(*pair)] == ["notice_kinds"]


def test_documents_differ_by_place():
    first = '{"rows": [{"value": 1.0, "seconds": 3}], "name": "a"}'
    assert document_differences(first, first.replace("3}", "4}")) == []
    assert document_differences(first, first.replace("1.0", "1.5")) == [
        "$.rows[0].value: '1.0' against '1.5'"
    ]
    assert document_differences(first, '{"rows": [], "name": "a"}') == [
        "$.rows.length: '1' against '0'",
        "$.rows[0].value: only in the first",
    ]
