from __future__ import annotations

from typing import Any

import pytest

from spectra_cli.render.forms.terminal import PIPE_WIDTH
from spectra_cli.render.tables.inspect import findings, model, plan, series

MODEL: dict[str, Any] = {
    "run": "a",
    "format": "huggingface",
    "architecture": "LlamaForCausalLM",
    "family": "llama",
    "num_layers": 2,
    "width": 32,
    "vocab_size": 64,
    "notices": ["sites were found from the module tree alone"],
    "matrices": [
        {
            "component": "attn.q",
            "shape": "32 x 32",
            "layers": "0-1 (2)",
            "name": "model.layers.0.self_attn.q_proj",
        },
        {"component": "embed", "shape": "64 x 32", "layers": "", "name": "model.embed_tokens.weight"},
    ],
}
CHECKPOINT: dict[str, Any] = {
    "key": "step500",
    "num_parameters": 81_920,
    "num_bytes": 327_680,
    "tokens_seen": 1_024_000,
    "train_loss": 3.5,
    "eval_loss": None,
    "batch_size_tokens": None,
    "learning_rate": None,
    "facts": {},
    "sources": {"config": "config.json", "tokens_seen": "trainer_state.json"},
    "notices": ["a prefix was stripped"],
    "problem": "",
}
PLAN: dict[str, Any] = {
    "checkpoints": [CHECKPOINT, CHECKPOINT | {"problem": "no weights"}],
    "plan": {
        "device": "cpu",
        "sites": ["blocks.0.resid_post", "blocks.1.resid_post"],
        "passes": [["blocks.0.attn.q"], ["blocks.1.attn.q"]],
        "batch_size": 8,
        "sequences_to_run": 128,
        "sequence_length": 64,
        "operations": {"forward": 3.0e12, "head": 1.0e12, "profiles": 1.0e9},
        "bytes_moved": 1.0e9,
        "seconds_estimated": 40.0,
        "seconds_by_part": {"linear_maps": 30.0, "attention": 9.9, "calls": 0.1},
        "proposals": [],
        "memory_bytes": {"model": 2**20, "gradients": 2**21},
        "budget_bytes": 2**30,
        "problem": "",
    },
}


def test_an_inspection_reads_as_agreed(printed, golden):
    damaged = CHECKPOINT | {
        "key": "step900",
        "problem": "/runs/a/checkpoint-900: no weights",
        "tokens_seen": None,
    }
    text = printed(*model(MODEL), series([CHECKPOINT, damaged]), *plan(PLAN))
    assert all(len(line) <= PIPE_WIDTH for line in text.splitlines())
    golden("inspection.txt", text)


def test_a_problem_is_shown_with_its_checkpoint(printed):
    row = CHECKPOINT | {"problem": "model.safetensors ends at byte 12"}
    text = " ".join(printed(series([row])).split())
    assert "cannot be scanned" in text
    assert "model.safetensors ends at byte 12" in text


def test_a_long_note_stands_below_the_table(printed):
    rates = {"learning_rate": 6e-4, "batch_size_tokens": 524_288}
    note = "the folder's name says step 7, its trainer_state.json step 500: the name is taken"
    *_, last = printed(series([CHECKPOINT | rates | {"notices": [note]}])).splitlines()
    assert last == f"step500: {note}"


def test_a_problem_is_told_once(printed):
    row = CHECKPOINT | {"problem": "no weights"}
    assert "no weights" not in printed(
        *findings({"checkpoints": [row], "series_notices": ["step500 cannot be read: no weights"]})
    )


def test_a_source_for_each_of_many_checkpoints_is_cut(printed):
    rows = [CHECKPOINT | {"sources": {"tokens_seen": f"ckpt_{n}.pt"}, "notices": []} for n in range(9)]
    (line,) = printed(*findings({"checkpoints": rows, "series_notices": []})).splitlines()
    assert line == "tokens_seen from ckpt_0.pt, ckpt_1.pt and 7 more"


def test_what_many_checkpoints_say_of_the_model_is_one_line_for_each_value(printed):
    rows = [
        CHECKPOINT
        | {
            "facts": {"model.heads": "4", "model.variant": f"variant {n // 8}", "model.tied": "true"},
            "sources": {"model.heads": f"ckpt_{n}.pt", "model.variant": f"{n}", "model.tied": "its tensors"},
            "notices": [],
        }
        for n in range(9)
    ]
    lines = printed(*findings({"checkpoints": rows, "series_notices": []})).splitlines()
    assert [line for line in lines if line.startswith("model:")] == [
        "model: heads 4: by ckpt_0.pt, ckpt_1.pt and 7 more",
        "model: variant 0: by 0, 1 and 6 more",
        "model: tied true: by its tensors",
        "model: variant 1: by 8",
    ]


def test_a_plan_that_does_not_exist_says_why(printed):
    assert "no plan: needs 3 GiB" in printed(
        *plan(PLAN | {"plan": PLAN["plan"] | {"problem": "needs 3 GiB"}})
    )


def test_the_time_is_of_what_can_be_scanned(printed):
    text = " ".join(printed(*plan(PLAN)).split())
    assert "About 40 s a checkpoint if nothing else runs: linear maps 75 %, attention 25 %." in text
    assert "4T floating-point operations of matrix products: forward 75 %, head 25 %" in text
    both = PLAN | {"checkpoints": [CHECKPOINT, CHECKPOINT]}
    assert "About 40 s a checkpoint, 80 s for all 2 if nothing else runs:" in " ".join(
        printed(*plan(both)).split()
    )


def test_weights_alone_have_a_time_and_no_operations(printed):
    found = PLAN["plan"] | {"operations": {}, "seconds_by_part": {"weights": 1.0}, "seconds_estimated": 1.0}
    text = " ".join(printed(*plan(PLAN | {"plan": found})).split())
    assert "About 1 s a checkpoint if nothing else runs: weights 100 %." in text
    assert "operations" not in text


@pytest.mark.parametrize(("passes", "words"), [(1, "1 pass,"), (2, "2 passes,")])
def test_passes_are_counted(printed, passes, words):
    found = PLAN["plan"] | {"passes": [["blocks.0.attn.q"]] * passes}
    assert words in " ".join(printed(*plan(PLAN | {"plan": found})).split())


def test_metadata_has_columns_where_any_checkpoint_has_it(printed):
    assert "learning" not in printed(series([CHECKPOINT]))
    known = CHECKPOINT | {"learning_rate": 6e-4, "batch_size_tokens": 524_288, "notices": []}
    text = printed(series([CHECKPOINT, known]))
    assert "0.0006" in text
    assert "524k" in text
    assert all(len(line) <= PIPE_WIDTH for line in text.splitlines())


def test_what_is_noted_about_every_checkpoint_is_said_once(printed):
    rows = [CHECKPOINT | {"notices": ["stored in bfloat16", f"window {step}"]} for step in (1, 2)]
    rows.append(CHECKPOINT | {"notices": [], "problem": "no weights"})
    text = printed(series(rows))
    assert "bfloat16" not in text
    assert "window 1" in text
    assert "window 2" in text
    assert printed(*findings({"checkpoints": rows, "series_notices": []})).splitlines()[0] == (
        "every checkpoint: stored in bfloat16"
    )
    # a single one keeps its own in its row
    assert "stored in bfloat16" in " ".join(printed(series(rows[:1])).split())


def test_findings_say_where_values_come_from_what_the_user_said_and_what_is_odd(printed):
    row = CHECKPOINT | {
        "facts": {"dataset": "FineWeb"},
        "sources": {"tokens_seen": "run.toml", "eval_loss": "log.csv: val", "config.heads": "--set"},
    }
    text = printed(*findings({"checkpoints": [CHECKPOINT, row], "series_notices": ["step5 is a link"]}))
    assert text.splitlines() == [
        "every checkpoint: a prefix was stripped",
        "tokens_seen from trainer_state.json, run.toml; config.heads from --set",
        "dataset: FineWeb",
        "step5 is a link",
    ]


def test_what_many_checkpoints_have_with_other_numbers_is_one_line_with_a_count(printed):
    rows = [CHECKPOINT | {"key": f"step{step}", "notices": [f"loss is {step}.5"]} for step in range(100)]
    text = " ".join(printed(series(rows)).split())
    assert "100 checkpoints, step0 to step99, the first: loss is 0.5" in text
    assert text.count("loss is") == 1


def test_a_proposal_is_its_bound_its_options_and_what_they_give(printed):
    proposal = {"bound": "an hour", "options": "--measure weights", "seconds": 59.4, "resolves": "spectra"}
    changed = {"plan": PLAN["plan"] | {"proposals": [proposal]}}
    *_, head, last = printed(*plan(PLAN | changed)).splitlines()
    assert head == "Less, by adding to the command:"
    assert last == "In an hour: --measure weights (about 59 s) gives spectra"
