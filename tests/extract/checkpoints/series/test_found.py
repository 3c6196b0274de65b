import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.series.found import fingerprint, in_series_order, natural_key, parse_step


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-500", 500),
        ("step500", 500),
        ("step_500", 500),
        ("step-500", 500),
        ("global_step500", 500),
        ("iter_0000500", 500),
        ("rev-step1000", 1000),
        ("step1000-tokens4B", 1000),
        ("stage1-step5000-tokens21B", 5000),
        ("ckpt_1000", 1000),
        ("ckpt-1000", 1000),
        ("ckpt_step_0000100", 100),
        ("checkpoint_target_reached_step000100", 100),
        ("model_step_000100", 100),
        ("checkpoint-3_step700", 700),
        ("rev-main", None),
        ("ckpt", None),
        ("step10k", None),
        ("step1.5B", None),
        ("model-00001-of-00002", None),
        ("footstep5", None),
        ("step" + "9" * 18, 10**18 - 1),
        ("step" + "9" * 19, None),
    ],
)
def test_parse_step(name, step):
    assert parse_step(name) == step


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_natural_order_is_numeric_order(numbers):
    names = [f"part{number}-x" for number in numbers]
    assert sorted(names, key=natural_key) == [f"part{number}-x" for number in sorted(numbers)]


def _ref(name, step, label=""):
    return CheckpointRef(run="r", step=step, uri=f"/r/{name}", format="f", label=label)


def test_series_is_ordered_by_step_and_every_key_is_its_own():
    refs = [
        _ref("rev-b10", None),
        _ref("rev-b9", None),
        _ref("step10", 10),
        _ref("target_step5.pt", 5, "target"),
        _ref("step5.pt", 5),
        _ref("ckpt.pt", 10),
    ]
    keys = [ref.key for ref in in_series_order(refs)]
    assert keys == [
        "step5",
        "step5-target",
        "step10-ckpt",
        "step10-step10",
        "nostep-rev-b9",
        "nostep-rev-b10",
    ]


def test_fingerprint_depends_on_name_size_and_time_but_not_on_place(tmp_path):
    def folder(name, content="abc", file="w", time=10**18):
        (tmp_path / name).mkdir()
        path = tmp_path / name / file
        path.write_text(content)
        os.utime(path, ns=(time, time))
        return fingerprint(tmp_path / name, [path])

    first = folder("a")
    assert folder("b") == first
    others = [folder("c", content="abcd"), folder("d", file="v"), folder("e", time=10**18 + 1)]
    assert len({first, *others}) == 4
