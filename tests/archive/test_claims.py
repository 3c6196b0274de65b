"""Claims: one run comes first, shards of it join, and what a dead scan said is no lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from spectra_cli.archive.claims import Asked, announced, read_claims
from spectra_cli.archive.content.layout import parts_folder
from spectra_cli.archive.content.provenance import Statement
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import consolidate, write_part
from spectra_cli.core.errors import ArchiveError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.spectra.h5"


def asked(path, origin: str, *names: str, gone: tuple[str, ...] = ()) -> Asked:
    return Asked(path, Statement(origins=(origin,), waiting=dict.fromkeys(names, "")), gone)


def unless(origin: str):
    """Every other origin is another run."""
    return lambda statement: "" if origin in statement.origins else f"of {statement.origins[0]}"


def of_a_dead_process(path) -> None:
    """Rewrite the claims beside an archive as a process that was killed left them."""
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    for claim in read_claims(path):
        fields = json.loads(claim.path.read_text())
        claim.path.write_text(json.dumps(fields | {"pid": int(dead.stdout)}))


def test_of_two_runs_the_first_comes_first_before_any_part_is_there(path):
    with announced(asked(path, "/exp1", "step1"), unless("/exp1"), lambda: None):
        second = announced(asked(path, "/exp2", "step2"), unless("/exp2"), lambda: None)
        with pytest.raises(ArchiveError, match=r"of /exp1.*remove .*claim\.json"), second:
            pass
        with pytest.raises(ArchiveError, match="unfinished: 0 of 1 checkpoint of /exp1"):
            open_archive(path)
    assert not parts_folder(path).exists()  # nothing came of it, nothing is left


def test_shards_of_one_run_join_and_what_both_were_asked_for_is_known(path, make_checkpoint):
    first = announced(asked(path, "/a", "step1", "step2"), unless("/a"), lambda: None)
    second = announced(asked(path, "/mount/a", "step3"), lambda _: "", lambda: None)
    with first, second as joined:
        assert joined.origins == ("/a", "/mount/a")
        write_part(path, make_checkpoint(2), ["/a"])
        assert open_archive(path).unfinished.words().startswith("unfinished: 1 of 3 checkpoints")
        consolidate(path)
        assert open_archive(path).statement.waiting == {"step1": "", "step3": ""}
        assert not parts_folder(path).exists()
        write_part(path, make_checkpoint(3), joined.origins)
        joined.note_failures({"step1": "damaged"})
        consolidate(path)
    assert open_archive(path).unfinished.document() == {
        "measured": 2,
        "asked": 3,
        "missing": [],
        "failed": {"step1": "damaged"},
        "num_parts": 0,
    }


def test_a_claim_of_a_killed_scan_without_content_is_no_lock(path):
    asked(path, "/exp1", "step1").announce(unless("/exp1"), lambda: None)
    of_a_dead_process(path)
    with announced(asked(path, "/exp2", "step2"), unless("/exp2"), lambda: None):
        assert {c.statement.origins for c in read_claims(path)} == {("/exp2",)}


def test_what_a_killed_scan_was_asked_for_stays_known(path, make_checkpoint):
    asked(path, "/a", "step1", "step2").announce(unless("/a"), lambda: None)
    write_part(path, make_checkpoint(1), ["/a"])
    of_a_dead_process(path)
    assert open_archive(path).unfinished.missing == ("step2",)
    # the run no longer has it: a scan of the whole run waits for it no more
    os.utime(read_claims(path)[1].path, (1, 1))
    with announced(asked(path, "/a", "step1", gone=("step2",)), unless("/a"), lambda: None):
        assert open_archive(path).unfinished.missing == ()


def test_content_decides_over_a_claim(path, make_checkpoint):
    asked(path, "/exp2", "step2").announce(unless("/exp2"), lambda: None)
    write_part(path, make_checkpoint(1), ["/exp1"])
    with announced(asked(path, "/exp1", "step1"), unless("/exp1"), lambda: None):
        assert {c.statement.origins for c in read_claims(path)} == {("/exp1",)}

    def refuse() -> None:
        raise ArchiveError("of another run")

    with pytest.raises(ArchiveError, match="of another run"):
        asked(path, "/exp3").announce(unless("/exp3"), refuse)


def test_overwriting_goes_over_what_is_left_but_not_over_a_running_scan(path):
    running = asked(path, "/exp1", "step1")
    running.announce(unless("/exp1"), lambda: None)
    with pytest.raises(ArchiveError, match="of /exp1"):
        asked(path, "/exp2", "step2").announce(unless("/exp2"), None)
    of_a_dead_process(path)
    asked(path, "/exp2", "step2").announce(unless("/exp2"), None)
    assert {c.statement.origins for c in read_claims(path)} == {("/exp2",)}
