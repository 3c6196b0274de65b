"""What the user says about a run, over what its files say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spectra_cli.core.errors import CheckpointError, UsageError
from spectra_cli.core.notices import tokens_unknown
from spectra_cli.core.scan_request import SeriesOptions
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.series.annotated import annotated
from spectra_cli.extract.protocols import CheckpointHeader

FILES = {"tokens_seen": "trainer_state.json", "train_loss": "trainer_state.json", "config": "config.json"}


class OneRun:
    """A source of two checkpoints whose headers are set by the test."""

    format = "made-up"
    run = "folder"

    def __init__(self, **values):
        self.values = values

    def refs(self):
        return [
            CheckpointRef(run=self.run, step=step, uri=f"/a/{step}", format=self.format) for step in (5, 10)
        ]

    def header(self, ref):
        assert ref.run == "folder"  # its own words, not the user's
        return CheckpointHeader(
            ref=ref,
            tensors={},
            config={"n_head": 4},
            fingerprint="f",
            num_bytes=0,
            sources=FILES,
            **self.values,
        )

    def open(self, ref):
        assert ref.run == "folder"
        return {}


class Forbidden(OneRun):
    """A source whose files belong to somebody else."""

    def header(self, ref):
        raise PermissionError(13, "Permission denied", f"{ref.uri}/model.safetensors")

    open = header


def test_what_may_not_be_read_is_an_error_of_that_checkpoint(series):
    source = series(source=Forbidden())
    for read in (source.header, source.open):
        with pytest.raises(
            CheckpointError, match=r"step5: /a/5/model.safetensors cannot be read: Permission"
        ):
            read(source.refs()[0])


@pytest.fixture
def series(tmp_path):
    def make(run_toml="", log="", source=None, **options):
        if run_toml:
            (tmp_path / "run.toml").write_text(run_toml)
        if log:
            (tmp_path / "log.csv").write_text(log)
            options.setdefault("log", str(tmp_path / "log.csv"))
        return annotated(source or OneRun(), str(tmp_path), SeriesOptions(**options))

    return make


def headers(source):
    return [source.header(ref) for ref in source.refs()]


def test_without_words_nothing_changes_but_trust():
    inner = OneRun(tokens_seen=7, notices=("n",))
    source = annotated(inner, "/nowhere", SeriesOptions())
    assert headers(source) == [inner.header(ref) for ref in inner.refs()]
    assert source.open(source.refs()[0]) == {}


def test_the_log_wins_over_run_toml_and_that_over_the_files(series):
    inner = OneRun(tokens_seen=1, train_loss=9.0, eval_loss=8.0)
    first, second = headers(series("batch_size_tokens = 100", "step,loss,tokens\n10,3.5,999\n", inner))
    assert (first.tokens_seen, first.train_loss, first.eval_loss) == (500, 9.0, 8.0)
    assert (second.tokens_seen, second.train_loss, second.eval_loss) == (999, 3.5, 8.0)
    assert first.batch_size_tokens == second.batch_size_tokens == 100
    assert first.sources["tokens_seen"].endswith("run.toml: step x batch_size_tokens")
    assert first.sources["train_loss"] == "trainer_state.json"
    assert second.sources["train_loss"].endswith("log.csv: loss")
    assert any("train_loss is 3.5 by" in n and "9 by trainer_state.json" in n for n in second.notices)


@pytest.mark.parametrize("count", [-1, 2**63, 2**70])
def test_counts_that_nothing_holds_are_refused(series, count):
    source = series(source=OneRun(tokens_seen=count))
    with pytest.raises(CheckpointError, match=r"/a/5: tokens_seen is -?\d+ by trainer_state\.json; expected"):
        headers(source)
    with pytest.raises(CheckpointError, match=r"tokens_seen is \d+ by \S+run\.toml: step x"):
        headers(series(f"batch_size_tokens = {2**62}"))
    with pytest.raises(CheckpointError, match="tokens_seen is 1000"):  # before it is compared and printed
        headers(series("batch_size_tokens = 2", source=OneRun(tokens_seen=10**400)))


def test_a_step_that_the_log_lacks_is_said_with_what_is_taken_in_its_place(series):
    first, second = headers(series(log="step,loss,lr\n9,3.5,\n10,3.25,0.5\n", source=OneRun(train_loss=1.0)))
    (said,) = (n for n in first.notices if "no loss" in n)
    assert said.endswith(
        "has no loss at step 5; the nearest is at step 9; that of trainer_state.json is taken"
    )
    assert first.train_loss == 1.0
    assert any(n.endswith("has no lr at step 5; the nearest is at step 10") for n in first.notices)
    assert second.learning_rate == 0.5


def test_a_number_that_cannot_be_taken_is_said_with_its_reason(series):
    log = "step;loss;lr\n5;3,1;0.5\n5.5;1;1\n10;2.5;1e-"
    first, second = headers(series(log=log, source=OneRun(train_loss=1.0)))
    assert (first.train_loss, second.learning_rate) == (1.0, None)
    whole, comma = (n.partition("log.csv: ")[2] for n in first.notices)
    assert whole == "a row is left out, whose step is '5.5'; expected a whole number below 2^63"
    assert comma == (
        "loss at step 5 is '3,1', which is not a number; expected one such as 3.1, with a point; "
        "that of trainer_state.json is taken"
    )
    (cut,) = (n for n in second.notices if "lr" in n)
    assert "lr at step 10 is '1e-' at the end of the file without a line end" in cut
    assert "no lr" not in cut


def test_unknown_tokens_are_no_longer_unknown(series):
    notices = (tokens_unknown("no arguments"), "other")
    first, _ = headers(series("batch_size_tokens = 2", source=OneRun(notices=notices)))
    assert (first.tokens_seen, first.notices) == (10, ("other",))


def test_names_facts_and_the_model(series):
    source = series('name = "muon"\ndataset = "d"\n[model]\nn_head = 8\nkind = "x"', model={"kind": "y"})
    assert source.run == "muon"
    assert {ref.run for ref in source.refs()} == {"muon"}
    header = source.header(source.refs()[0])
    assert header.ref.run == "muon"
    assert header.config == {"n_head": 8, "kind": "y"}
    assert header.facts == {"dataset": "d"}
    assert header.sources["config.n_head"].endswith("run.toml")
    assert header.sources["config.kind"] == "--set"
    source.open(header.ref)


def test_only_the_flag_lets_a_checkpoints_code_run(series):
    class Sly(OneRun):
        def header(self, ref):
            return replace(super().header(ref), config={"trust_remote_code": True})

    assert "trust_remote_code" not in headers(series(source=Sly()))[0].config
    assert headers(series(trust_remote_code=True))[0].config["trust_remote_code"] is True
    with pytest.raises(UsageError, match="flag is --trust-remote-code"):
        series(model={"trust_remote_code": True})
    with pytest.raises(UsageError, match=r"run\.toml: model\.trust_remote_code is no fact"):
        series("[model]\ntrust_remote_code = true")


def test_a_log_that_run_toml_names_starts_at_its_folder(series, tmp_path):
    (tmp_path / "m.csv").write_text("step,loss\n5,1.5\n")
    assert headers(series('log = "m.csv"'))[0].train_loss == 1.5
    (tmp_path / "other.csv").write_text("step,loss\n5,2.5\n")
    assert headers(series('log = "m.csv"', log="step,loss\n5,2.5\n"))[0].train_loss == 2.5
