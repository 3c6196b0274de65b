from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from spectra_cli.extract.planning.cost import PARTS
from spectra_cli.extract.planning.rates import Rates

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
    assert plan["seconds_estimated"] == pytest.approx(sum(plan["seconds_by_part"].values()))
    assert min(plan["seconds_by_part"].values()) > 0


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


def test_a_plan_that_does_not_fit_is_shown_and_ends_as_the_scan_does(spectra, place):
    found = spectra("inspect", "run", "--memory", "1KB", *SMALL)
    assert "no plan" in found.out
    assert "step4" in found.out
    scanned = spectra("scan", "run", "--probe", "synthetic", "--memory", "1KB", *SMALL)
    assert found.code == scanned.code == 3
    assert found.err.startswith("spectra: the memory budget is 0 MiB; the smallest plan")


def test_the_plan_names_the_length_of_a_sequence(spectra, place):
    assert "8 sequences of 8 tokens in batches of" in " ".join(spectra("inspect", "run", *SMALL).out.split())


PROBED = ("--probe", "synthetic", *SMALL)


def ends(spectra, *words):
    """Exit code and last message of `inspect` and of `scan` with the same words."""
    inspected, scanned = spectra("inspect", *words), spectra("scan", *words, "-o", "new.h5")
    last = [(found.err.strip().splitlines()[-2:] or [""])[0] for found in (inspected, scanned)]
    return (inspected.code, last[0]), (scanned.code, last[1])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--probe", "synthetic", "-T", "4096"), 3, "positions: use --sequence-length"),
        (("--probe", "nowhere.bin"), 3, "there is no probe at nowhere.bin"),
        (("--probe", "foreign.npy", *SMALL), 3, "foreign.npy has id 99999 at token"),
        (("--probe", "short.npy", *SMALL), 3, "4 sequences of 9 ids; 8 sequences of length 8 need 72 tokens"),
        (("--probe", "text.txt", "--tokenizer", "nowhere", *SMALL), 3, "nowhere"),
        (("--probe", "synthetic", "--probe-format", "x"), 2, "there is no probe format 'x'"),
        ((*PROBED, "--matrices", "nonsense"), 2, "no matrix 'nonsense'"),
        ((*PROBED, "--layers", "7"), 2, "outside this model's layers"),
        ((*PROBED, "--on-error", "perhaps"), 2, "expected fail or skip"),
    ],
)
def test_what_a_scan_refuses_is_refused_in_its_words(spectra, place, words, code, said):
    np.save("foreign.npy", np.full(200, 99_999, dtype=np.int32))
    np.save("short.npy", np.ones(40, dtype=np.int32))
    Path("text.txt").write_text("a b c")
    inspected, scanned = ends(spectra, "run", *words)
    assert inspected == scanned
    assert inspected[0] == code
    assert said in inspected[1]


@pytest.mark.parametrize(("on_error", "code"), [("fail", 3), ("skip", 4)])
def test_one_bad_checkpoint_ends_as_a_scan_does(spectra, place, on_error, code):
    config = place / "run" / "checkpoint-4" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"intermediate_size": 40}))
    found = spectra("inspect", "run", *PROBED, "--on-error", on_error)
    scanned = spectra("scan", "run", *PROBED, "--on-error", on_error, "-o", "new.h5")
    assert found.code == scanned.code == code
    document = json.loads(spectra("inspect", "run", "--json").out)
    problem = next(row["problem"] for row in document["checkpoints"] if row["step"] == 4)
    _, _, misfit = problem.partition(": its tensors do not fit ")
    assert misfit.startswith("LlamaForCausalLM: 6 of another shape: model.layers.0.mlp.down_proj.weight")
    for said in (found.err, scanned.err):
        assert misfit in " ".join(said.split())


def test_skipping_every_checkpoint_is_an_error(spectra, place):
    for config in (place / "run").glob("*/config.json"):
        config.write_text(json.dumps(json.loads(config.read_text()) | {"intermediate_size": 40}))
    inspected, scanned = ends(spectra, "run", *PROBED, "--on-error", "skip")
    assert inspected == scanned
    assert inspected[0] == 3


def test_a_default_that_does_not_fit_gives_way_and_says_so(spectra, place):
    """The model has fewer positions than the 1024 tokens that are the default."""
    config = json.loads((place / "run" / "checkpoint-4" / "config.json").read_text())
    positions = config["max_position_embeddings"]
    counts = ("--sequences", "4", "--gradient-sequences", "4")
    said = f"sequences are of {positions} tokens, where 1024 is the default"
    plan = spectra("inspect", "run", *counts)
    assert (plan.code, said in " ".join(plan.out.split())) == (0, True)
    assert f"4 sequences of {positions} tokens" in " ".join(plan.out.split())
    for told in (True, False):  # it continues, and a scan with nothing to do repeats nothing
        done = spectra("scan", "run", "--probe", "synthetic", *counts, "--limit", "1", "-o", "new.h5")
        assert (done.code, said in " ".join(done.err.split())) == (0, told)
    refused = spectra("inspect", "run", *counts, "-T", "1024")
    assert (refused.code, "were asked for" in refused.err) == (3, True)


def test_proposals_are_accepted_as_printed_and_keep_their_bound(spectra, trainer_runs, monkeypatch):
    """With the rates of one machine: those measured here change from one command to the next."""
    rates = Rates(seconds=dict.fromkeys(PARTS, 1e-9))
    monkeypatch.setattr("spectra_cli.extract.planning.rates.measure_rates", lambda *_, **__: rates)
    words = ("inspect", trainer_runs / "llama", "--sequences", "100000000", "--gradient-sequences", "64")
    asked = json.loads(spectra(*words, "--json").out)["plan"]
    bounds = {"ten minutes": 600, "an hour": 3600, "a night": 8 * 3600}
    assert [proposal["bound"] for proposal in asked["proposals"]] == list(bounds)
    shown = " ".join(spectra(*words).out.split())
    for options in dict.fromkeys(proposal["options"] for proposal in asked["proposals"]):
        assert options in shown
        found = spectra(*words, *options.split(), "--json")
        assert found.code == 0, found.err
        document = json.loads(found.out)
        seconds = document["plan"]["seconds_estimated"] * len(document["checkpoints"])
        assert all(seconds < bounds[p["bound"]] for p in asked["proposals"] if p["options"] == options)
