from __future__ import annotations

import pytest

from spectra_cli.api.scan import scan
from spectra_cli.api.values.run import open as open_run
from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import UsageError

SMALL = {
    "probe": "probe.npy",
    "sequences": 8,
    "gradient_sequences": 8,
    "sequence_length": 8,
    "set": {"scan.num_blocks": 4},
}


@pytest.mark.usefixtures("place")
def test_a_scan_is_that_of_the_command(whole, numbers_of, capsys):
    heard = []
    result = scan("run", progress=heard.append, **SMALL)
    assert result.archive.name == "run.spectra.h5"
    assert [numbers_of(one)["spectra"] for one in open_archive(result.archive)] == [
        numbers_of(one)["spectra"] for one in open_archive(whole)
    ]
    assert {now.number for now in heard} == {1, 2, 3}
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("place")
def test_it_goes_on_where_it_was_and_shows_what_it_measured():
    first = scan("run", steps=[0, 10], output="a.spectra.h5", quiet=True, measure="weights")
    assert "2 measured" in repr(first)
    second = scan("run", output="a.spectra.h5", quiet=True, measure="weights")
    assert ([r.step for r in second.measured], [r.step for r in second.kept]) == ([20], [0, 10])
    assert open_run("a.spectra.h5").checkpoints["step"] == [0, 10, 20]
    with pytest.raises(UsageError, match="--overwrite"):
        scan("run", output="a.spectra.h5", quiet=True, measure="weights", resume=False)
