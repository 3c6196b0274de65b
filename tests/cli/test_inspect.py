from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

SMALL = ("--sequences", "8", "--gradient-sequences", "8", "-T", "8")


def num_elements(checkpoint: Path) -> int:
    total = 0
    for file in checkpoint.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict
                size = 1
                for n in tensors.get_slice(name).get_shape():
                    size *= n
                total += size
    return total


@pytest.mark.parametrize(
    ("run", "family", "architecture", "layers", "width"),
    [("llama", "llama", "LlamaForCausalLM", 2, 16), ("gpt2", "gpt2", "GPT2LMHeadModel", 3, 24)],
)
def test_a_trainer_run_is_described_as_its_files_say(
    spectra, trainer_runs, run, family, architecture, layers, width
):
    document = json.loads(spectra("inspect", trainer_runs / run, "--json", *SMALL).out)
    assert document["schema"].startswith("spectra.inspect/")
    assert (document["run"], document["format"]) == (run, "huggingface")
    assert (document["family"], document["architecture"]) == (family, architecture)
    assert (document["num_layers"], document["width"], document["vocab_size"]) == (layers, width, 300)
    assert [c["step"] for c in document["checkpoints"]] == [2, 4]
    for checkpoint in document["checkpoints"]:
        folder = Path(checkpoint["uri"])
        state = json.loads((folder / "trainer_state.json").read_text())
        log = [entry for entry in state["log_history"] if entry["step"] == checkpoint["step"]]
        assert checkpoint["num_parameters"] == num_elements(folder)
        assert checkpoint["tokens_seen"] == state["num_input_tokens_seen"]
        assert checkpoint["train_loss"] == next(e["loss"] for e in log if "loss" in e)
        assert checkpoint["eval_loss"] == next(e["eval_loss"] for e in log if "eval_loss" in e)
        assert checkpoint["problem"] == ""
    plan = document["plan"]
    assert plan["sequences_to_run"] == 8
    assert len(plan["sites"]) == layers
    assert sum(plan["memory_bytes"].values()) <= plan["budget_bytes"]
    assert plan["operations"]["forward"] > plan["operations"]["gradients"] > 0
    assert plan["seconds_at_least"] > 0


def test_the_table_says_the_same(spectra, trainer_runs):
    found = spectra("inspect", trainer_runs / "llama", *SMALL)
    assert (found.code, found.err) == (0, "")
    for word in (
        "LlamaForCausalLM",
        "step2",
        "step4",
        "attn.q",
        "model.layers.0.self_attn.q_proj.weight",
        "KiB",
    ):
        assert word in found.out
    assert "\x1b" not in found.out
    assert all(len(line) <= 100 for line in found.out.splitlines())


@pytest.mark.parametrize(
    ("words", "code", "mentioned"),
    [
        (("nowhere",), 3, ("nowhere",)),
        (("run", "--layers", "99"), 2, ("99", "0 to 1")),
        (("run", "--device", "abacus"), 2, ("abacus",)),
        (("run", "--memory", "x"), 2, ("x", "8GiB")),
        (("run", "--preset", "x"), 2, ("x", "quick")),
    ],
)
def test_what_cannot_be_inspected_is_said_with_its_code(spectra, place, words, code, mentioned):
    found = spectra("inspect", *words)
    assert (found.code, found.out) == (code, "")
    for word in mentioned:
        assert word in found.err


def test_matrices_that_a_scan_would_leave_out_are_named(spectra, trainer_runs):
    words = ("inspect", trainer_runs / "gpt2", "--matrices", "attn.q,mlp.gate", *SMALL)
    skipped = json.loads(spectra(*words, "--json").out)["plan"]["skipped"]
    assert [item["site"] for item in skipped] == [f"blocks.{layer}.mlp.gate" for layer in range(3)]
    assert {item["measurement"] for item in skipped} == {"gradient"}
    assert f"not measured (gradient): {skipped[0]['site']}" in spectra(*words).out


def test_matrices_that_do_not_exist_are_named(spectra, place):
    found = spectra("inspect", "run", "--matrices", "nonsense")
    assert "nonsense" in found.out + found.err
    assert found.code in (0, 2)


def test_a_plan_that_does_not_fit_is_shown_as_such(spectra, place):
    found = spectra("inspect", "run", "--memory", "1KB", *SMALL)
    assert found.code == 0
    assert "no plan" in found.out
    assert "step4" in found.out
