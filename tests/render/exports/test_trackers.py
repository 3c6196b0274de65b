"""What trackers of experiments read back, with their own readers: every value, and why some are withheld."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.render.exports.registry import TRACKERS, tracker
from spectra_cli.render.outputs import export
from spectra_cli.render.text.neutral import for_markdown
from spectra_cli.statistics.summarise import summarise
from spectra_cli.workflows.export import Selection, choose
from tests.builders.installed import needs
from tests.builders.read_wandb import history_of

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "export.md"
TRAINING = ("tokens_seen", "train_loss", "eval_loss", "batch_size_tokens", "learning_rate")


def logged(archives, word, path):
    """Written to a file, and what was left out of it."""
    runs, left_out = choose(archives, Selection()), []
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        export.log(tracker(word), runs, stream, left_out)
    return left_out


def expected(archive):
    """Step -> tag -> value, NaN where it is withheld, and step -> tag -> why, straight from the archive."""
    values, withheld = {}, {}
    for one in open_archive(archive):
        if one.ref.step is None:
            continue
        here = values.setdefault(one.ref.step, {})
        why = withheld.setdefault(one.ref.step, {})
        for value in summarise(one):
            tag = "/".join(filter(None, [value.measurement, value.name, value.site and value.site.address]))
            here[tag] = value.value
            if math.isfinite(value.stderr):
                here[f"stderr/{tag}"] = value.stderr
            if not math.isfinite(value.value):
                why[tag] = f"{value.status.value}: {value.reason}"
        for each in one.skipped:
            why[f"{each.measurement}/{each.site.address}"] = f"{each.status.value}: {each.reason}"
        known = {name: getattr(one.info, name) for name in TRAINING}
        here |= {f"training/{name}": value for name, value in known.items() if value is not None}
    return values, withheld


def test_tensorboard_reads_every_value_and_the_reasons(two_archives, tmp_path):
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.util.tensor_util import make_ndarray

    place = tracker("tensorboard").place
    for archive, name in zip(two_archives, ("one/a", "two/a"), strict=True):
        left_out = logged([archive], "tensorboard", place(tmp_path, name))
        assert left_out == ["left out: nostep of a: nothing says its step, by which trackers go"]
    multiplexer = EventMultiplexer(size_guidance={"scalars": 0, "tensors": 0}).AddRunsFromDirectory(
        str(tmp_path)
    )
    multiplexer.Reload()
    assert multiplexer.Runs().keys() == {"one/a", "two/a"}
    for archive, name in zip(two_archives, ("one/a", "two/a"), strict=True):
        values, withheld = expected(archive)
        run = multiplexer.GetAccumulator(name)
        assert set(run.Tags()["scalars"]) == {tag for here in values.values() for tag in here}
        for tag in run.Tags()["scalars"]:
            found = {event.step: event.value for event in run.Scalars(tag)}
            # TensorBoard's scalars are of single precision
            single = {step: float(np.float32(here[tag])) for step, here in values.items() if tag in here}
            np.testing.assert_equal(found, single)
        assert run.Tags()["tensors"] == ["withheld"]
        told = {
            event.step: make_ndarray(event.tensor_proto).item().decode() for event in run.Tensors("withheld")
        }
        assert told.keys() == withheld.keys()
        for step, why in withheld.items():
            rows = [f"| {for_markdown(tag)} | {for_markdown(reason)} |" for tag, reason in why.items()]
            assert told[step].splitlines() == ["| tag | reason |", "| --- | --- |", *rows]


def test_the_lines_for_wandb_hold_every_value_to_the_last_bit(two_archives, tmp_path):
    left_out = logged(two_archives, "wandb", tmp_path / "w.jsonl")
    assert [words.split(":")[1] for words in left_out] == [" nostep of one/a", " nostep of two/a"]
    lines = [json.loads(line) for line in (tmp_path / "w.jsonl").read_text().splitlines()]
    assert [(line["run"], line["step"]) for line in lines] == [
        ("one/a", 0), ("one/a", 7), ("two/a", 0), ("two/a", 7)
    ]  # fmt: skip
    for archive, name in zip(two_archives, ("one/a", "two/a"), strict=True):
        values, withheld = expected(archive)
        for line in lines:
            if line["run"] == name:
                found = {tag: math.nan if v is None else v for tag, v in line["values"].items()}
                np.testing.assert_equal(found, values[line["step"]])
                assert line["withheld"] == withheld[line["step"]]


def test_the_script_of_the_page_logs_to_wandb_offline(two_archives, tmp_path):
    needs("wandb")
    logged(two_archives, "wandb", tmp_path / "wandb.jsonl")
    (script,) = re.findall(r"```python\n(import json, math, wandb\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(script.splitlines()) <= 12
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    runs = dict(map(history_of, tmp_path.glob("wandb/offline-run-*/*.wandb")))
    assert runs.keys() == {"one/a", "two/a"}
    for archive, name in zip(two_archives, ("one/a", "two/a"), strict=True):
        for step, values in expected(archive)[0].items():
            np.testing.assert_equal({tag: runs[name][step][tag] for tag in values}, values)


def test_a_tracker_is_named_with_what_it_needs(monkeypatch):
    assert [*TRACKERS] == ["tensorboard", "wandb"]
    assert tracker("wandb").needs is None
    with pytest.raises(UsageError, match=r"--to tensorbord \(did you mean tensorboard\?\): expected one of"):
        tracker("tensorbord")
    for module in ("tensorboard", "tensorboard.summary.writer.record_writer"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        UsageError, match=r"TensorBoard needs the package tensorboard.*llm-spectra\[tensorboard\]"
    ):
        tracker("tensorboard")
