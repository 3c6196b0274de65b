"""`spectra scan` as a user meets it: real runs, wrong requests, interruptions."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from spectra_cli.archive.content.layout import list_parts, parts_folder
from spectra_cli.archive.reader import open_archive

SMALL = ("--sequences", "8", "--gradient-sequences", "8", "-T", "8")
ARCHIVE = Path("run.spectra.h5")


# --------------------------------------------------------------------------- real runs


@pytest.mark.parametrize("run", ["llama", "gpt2"])
def test_a_trainer_run_is_scanned_on_its_own_tokenizer(spectra, trainer_runs, text_file, tmp_path, run):
    output = tmp_path / "a.spectra.h5"
    found = spectra("scan", trainer_runs / run, "--probe", text_file, "-o", output, *SMALL)
    assert found.code == 0, found.err
    archive = open_archive(output)
    assert [ref.step for ref in archive.refs] == [2, 4]
    for ref, info in zip(archive.refs, archive.infos, strict=True):
        state = json.loads(Path(ref.uri, "trainer_state.json").read_text())
        log = [entry for entry in state["log_history"] if entry["step"] == ref.step]
        assert ref.step == state["global_step"]
        assert info.tokens_seen == state["num_input_tokens_seen"] > 0
        assert info.train_loss == next(e["loss"] for e in log if "loss" in e)
        assert info.eval_loss == next(e["eval_loss"] for e in log if "eval_loss" in e)
        assert set(info.sources) >= {"tokens_seen", "train_loss", "eval_loss"}
    probe = archive.provenance.probe
    assert (probe.format, probe.num_sequences, probe.sequence_length) == ("text", 8, 8)
    assert probe.tokenizer
    loss = next(s for s in archive.checkpoint(0).scalars if s.name == "probe_loss")
    assert loss.value == pytest.approx(np.log(300), rel=0.1)  # four steps from a random start


def test_the_runs_are_one_file_and_sharded(trainer_runs):
    assert (trainer_runs / "llama/checkpoint-4/model.safetensors").is_file()
    assert (trainer_runs / "gpt2/checkpoint-4/model.safetensors.index.json").is_file()
    assert len(list((trainer_runs / "gpt2/checkpoint-4").glob("model-*.safetensors"))) > 1


def test_a_shard_and_a_text_of_the_same_tokens_are_the_same_probe(
    spectra, trainer_runs, text_file, tokenizer, tmp_path
):
    ids = np.array(tokenizer(text_file.read_text())["input_ids"], dtype=np.uint16)
    header = np.zeros(256, dtype=np.int32)
    header[:3] = 20240520, 1, len(ids)
    shard = tmp_path / "val.bin"
    shard.write_bytes(header.tobytes() + ids.tobytes())
    digests = []
    for probe in (text_file, shard):
        output = tmp_path / f"{probe.suffix[1:]}.spectra.h5"
        found = spectra(
            "scan",
            trainer_runs / "llama/checkpoint-2",
            "--probe",
            probe,
            "-o",
            output,
            "--measure",
            "weights",
            *SMALL,
        )
        assert found.code == 0, found.err
        digests.append(open_archive(output).provenance.probe.digest)
    assert digests[0] == digests[1]


# --------------------------------------------------------------------------- again


def test_an_unchanged_second_scan_measures_nothing_and_says_so(spectra, place):
    before = ARCHIVE.read_bytes()
    found = spectra("scan", "run", "--probe", "probe.npy", *SMALL)
    assert found.code == 0
    assert found.out == ""
    (said,) = found.err.splitlines()
    assert said.startswith("0 measured, 2 kept")
    assert ARCHIVE.read_bytes() == before


def test_json_of_a_scan_is_one_document(spectra, place):
    found = spectra("scan", "run", "--probe", "probe.npy", "--json", "-q", *SMALL)
    assert found.err == ""
    document = json.loads(found.out)
    assert document["schema"].startswith("spectra.scan/")
    assert (document["measured"], document["kept"]) == ([], ["step2", "step4"])
    assert Path(document["archive"]).resolve() == ARCHIVE.resolve()


@pytest.mark.parametrize(
    ("words", "difference"),
    [
        (("--seed", "1"), "seed"),
        (("--layers", "0"), "layers"),
        (("--normalize", "none"), "normalize"),
        (("--probe", "other.npy"), "probe.digest"),
    ],
)
def test_another_scan_is_refused_by_name(spectra, place, words, difference):
    np.save("other.npy", np.load("probe.npy")[::-1])
    before = ARCHIVE.read_bytes()
    found = spectra("scan", "run", "--probe", "probe.npy", *SMALL, *words)
    assert (found.code, found.out) == (3, "")
    assert difference in found.err
    assert "--overwrite" in found.err
    assert ARCHIVE.read_bytes() == before


def test_overwrite_replaces_and_no_resume_refuses(spectra, place):
    refused = spectra("scan", "run", "--probe", "probe.npy", "--no-resume", *SMALL)
    assert (refused.code, refused.out) == (2, "")
    assert "run.spectra.h5 exists" in refused.err
    found = spectra("scan", "run", "--probe", "probe.npy", "--overwrite", "--layers", "0", *SMALL)
    assert found.code == 0
    assert "2 measured" in found.err
    assert open_archive(ARCHIVE).provenance.settings["layers"] == "0"


def corrupt(checkpoint: str) -> None:
    file = Path("run", checkpoint, "model.safetensors")
    os.truncate(file, file.stat().st_size // 2)


def test_a_damaged_checkpoint_ends_in_3_and_the_earlier_ones_stay(spectra, place):
    ARCHIVE.unlink()
    corrupt("checkpoint-4")
    found = spectra("scan", "run", "--probe", "probe.npy", *SMALL)
    assert (found.code, found.out) == (3, "")
    assert "step4" in found.err
    assert "1 of 2" in found.err
    assert [ref.key for ref in open_archive(ARCHIVE).refs] == ["step2"]


def test_a_damaged_checkpoint_is_left_out_with_4_when_asked(spectra, place):
    ARCHIVE.unlink()
    corrupt("checkpoint-4")
    found = spectra("scan", "run", "--probe", "probe.npy", "--on-error", "skip", *SMALL)
    assert found.code == 4
    assert "left out: step4" in found.err
    assert "model.safetensors" in found.err
    assert "step2" in found.out


def test_duplicates_are_reported(spectra, place):
    shutil.copytree("run/checkpoint-4", "run/checkpoint-6")
    found = spectra("scan", "run", "--probe", "probe.npy", *SMALL)
    assert found.code == 0
    assert "step4, step6 hold identical tensors" in found.err


# --------------------------------------------------------------------------- series and metadata


def test_a_chosen_step_with_a_log_and_a_fact(spectra, place):
    ARCHIVE.unlink()
    Path("log.csv").write_text("iter,loss,lr\n2,5.5,0.25\n")
    words = ("--steps", "2", "--log", "log.csv", "--set", "model.rms_norm_eps=1e-05", "--json", "-q")
    found = spectra("scan", "run", "--probe", "probe.npy", *SMALL, *words)
    assert found.code == 0, found.err
    archive = open_archive(ARCHIVE)
    (info,) = archive.infos
    assert (info.train_loss, info.learning_rate) == (5.5, 0.25)
    assert archive.provenance.settings["model"] == {"facts": {"rms_norm_eps": 1e-05}}
    document = json.loads(found.out)
    assert document["measured"] == ["step2"]
    assert "1 of 2 checkpoints is chosen by --steps 2" in document["notices"]
    assert "1 of 2 checkpoints is chosen by --steps 2" in found.err
    shown = spectra("show", ARCHIVE)
    assert "0.25" in shown.out


# --------------------------------------------------------------------------- what cannot be done

GOOD = ("run", "--probe", "probe.npy", *SMALL)
WRONG: dict[str, tuple[tuple[str, ...], int, tuple[str, ...]]] = {
    "no such folder": (("nowhere", "--probe", "probe.npy"), 3, ("nowhere",)),
    "an empty folder": (("empty", "--probe", "probe.npy"), 3, ("empty", "config.json", ".pt")),
    "a file of another kind": (("probe.txt", "--probe", "probe.npy"), 3, ("probe.txt", "config.json")),
    "an archive for a checkpoint": (("run.spectra.h5", "--probe", "probe.npy"), 3, ("run.spectra.h5",)),
    "a step that is not there": ((*GOOD, "--steps", "3"), 2, ("no step 3", "2 and 4")),
    "steps that are no steps": ((*GOOD, "--steps", "a:b"), 2, ("a:b", "0:20000")),
    "a log that is not there": ((*GOOD, "--log", "no.csv"), 2, ("no.csv",)),
    "a log without steps": ((*GOOD, "--log", "probe.txt"), 2, ("probe.txt", "step=COLUMN")),
    "a fact that is none": ((*GOOD, "--set", "heads=4"), 2, ("heads=4", "model.KEY=VALUE")),
    "trust among the facts": (
        (*GOOD, "--set", "model.trust_remote_code=true"),
        2,
        ("--trust-remote-code",),
    ),
    "a base for what is no adapter": ((*GOOD, "--base", "elsewhere"), 2, ("--base",)),
    "a builder that is not there": ((*GOOD, "--model", "no_such:build"), 2, ("no_such",)),
    "no probe": (("run",), 2, ("--probe", "synthetic")),
    "a probe that is not there": (("run", "--probe", "no.npy", *SMALL), 3, ("no.npy",)),
    "a probe of another vocabulary": (
        ("run", "--probe", "big.npy", *SMALL),
        3,
        ("big.npy", "70000", "0 to 299"),
    ),
    "a probe that is too short": (("run", "--probe", "short.npy", *SMALL), 3, ("short.npy", "would fit")),
    "an empty probe": (("run", "--probe", "empty.npy", *SMALL), 3, ("empty.npy", "no tokens")),
    "a shard without its magic": (
        ("run", "--probe", "raw.bin", *SMALL),
        3,
        ("raw.bin", "20240520", "bin-uint16"),
    ),
    "an unknown kind of probe": (("run", "--probe", "probe.xyz", *SMALL), 3, ("probe.xyz", ".npy")),
    "an unknown probe format": ((*GOOD, "--probe-format", "nope"), 2, ("nope", "jsonl")),
    "a tokenizer that is not there": (
        ("run", "--probe", "probe.txt", "--tokenizer", "no-such", *SMALL),
        3,
        ("no-such",),
    ),
    "sequences that are too long": (("run", "--probe", "probe.npy", "-T", "4096"), 3, ("4096", "32")),
    "layers that are not there": ((*GOOD, "--layers", "99"), 2, ("99", "0 to 1")),
    "layers that are no layers": ((*GOOD, "--layers", "first"), 2, ("first", "0,3,6-9")),
    "matrices that are not there": ((*GOOD, "--matrices", "nonsense"), 2, ("nonsense", "attn.q")),
    "measurements that are not there": ((*GOOD, "--measure", "hessians"), 2, ("hessians", "gradients")),
    "a normalisation that is not there": ((*GOOD, "--normalize", "batch"), 2, ("batch", "rms")),
    "a dtype that is not there": ((*GOOD, "--dtype", "int8"), 2, ("int8", "bfloat16")),
    "too few sequences": ((*GOOD, "--sequences", "1"), 2, ("num_sequences", "at least 2")),
    "fewer sequences than blocks": ((*GOOD, "--sequences", "-3"), 2, ("-3",)),
    "a device that is not there": ((*GOOD, "--device", "tpu"), 2, ("tpu", "cuda")),
    "a memory of nothing": ((*GOOD, "--memory", "1KB"), 3, ("--memory", "needs")),
    "a memory that is no size": ((*GOOD, "--memory", "lots"), 2, ("lots", "8GiB")),
    "a preset that is not there": ((*GOOD, "--preset", "fast"), 2, ("fast", "quick")),
    "a run file that is not TOML": ((*GOOD, "--config", "bad.toml"), 2, ("bad.toml", "TOML")),
    "a run file with an unknown key": ((*GOOD, "--config", "unknown.toml"), 2, ("lairs", "layers")),
    "a run file with a wrong value": ((*GOOD, "--config", "value.toml"), 2, ("num_blocks",)),
    "a run file that is not there": ((*GOOD, "--config", "no.toml"), 2, ("no.toml",)),
    "a run file with unknown measurements": ((*GOOD, "--config", "measure.toml"), 2, ("hessian",)),
    "an output that is a folder": ((*GOOD, "-o", "empty"), 2, ("empty", "folder")),
    "an output in a folder that is not there": ((*GOOD, "-o", "no/a.h5"), 2, ("no",)),
    "an output that is no archive": ((*GOOD, "-o", "probe.txt"), 3, ("probe.txt",)),
    "a word for on-error": ((*GOOD, "--on-error", "ignore"), 2, ("ignore", "skip")),
    "a batch of nothing": ((*GOOD, "--batch-size", "0"), 2, ("--batch-size", "1")),
    "a number that is none": ((*GOOD, "--seed", "x"), 2, ("--seed", "integer")),
    "an option that is not there": ((*GOOD, "--verbose"), 2, ("--verbose",)),
    "no path": ((), 2, ("CKPT_DIR",)),
}


@pytest.fixture
def wrong_things(place) -> Path:
    """Files and folders to be wrong with."""
    os.mkdir("empty")
    np.save("big.npy", np.full(4096, 70_000))
    np.save("short.npy", np.arange(20))
    np.save("empty.npy", np.arange(0))
    Path("raw.bin").write_bytes(bytes(range(256)) * 64)
    Path("probe.xyz").write_bytes(b"?")
    Path("bad.toml").write_text("[scan")
    Path("unknown.toml").write_text("[scan]\nlairs = 'all'\n")
    Path("value.toml").write_text("[scan]\nnum_blocks = 'many'\n")
    Path("measure.toml").write_text("[scan]\nmeasurements = ['hessian']\n")
    return place


@pytest.mark.usefixtures("wrong_things")
@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_done_is_said_with_its_code(spectra, case):
    words, code, mentioned = WRONG[case]
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
    found = spectra("scan", *words)
    assert (found.code, found.out) == (code, "")
    assert "Traceback" not in found.err
    for word in mentioned:
        assert word in found.err
    assert {p: p.stat().st_mtime_ns for p in Path().rglob("*")} == before  # and nothing was touched


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_cuda_is_a_usage_error(spectra, place):
    found = spectra("scan", *GOOD, "--device", "cuda")
    assert (found.code, found.out) == (2, "")
    assert "0 CUDA devices" in found.err


# --------------------------------------------------------------------------- streams


def test_a_piped_scan_keeps_results_and_progress_apart(spectra, place):
    found = spectra("scan", *GOOD, "--overwrite")
    assert found.code == 0
    assert "\x1b" not in found.out + found.err
    assert "\r" not in found.out + found.err
    assert all(len(line) <= 100 for line in found.out.splitlines())
    assert "step2 (1/2)" in found.err
    assert "(1/2)" not in found.out
    assert spectra("show", "run").out == found.out  # the summary of a scan is that of show


def test_a_synthetic_probe_marks_the_archive(spectra, place):
    found = spectra("scan", "run/checkpoint-2", "--probe", "synthetic", *SMALL)
    assert found.code == 0
    assert "synthetic probe" in found.out
    assert open_archive(Path("checkpoint-2.spectra.h5")).provenance.probe.synthetic


# --------------------------------------------------------------------------- interruptions


@pytest.fixture(scope="module")
def series(pristine, tmp_path_factory) -> Path:
    """Four checkpoints, so that there is something between them."""
    folder = tmp_path_factory.mktemp("series")
    for step, source in ((2, 2), (4, 4), (6, 2), (8, 4)):
        checkpoint = folder / f"run/checkpoint-{step}"
        shutil.copytree(pristine / f"run/checkpoint-{source}", checkpoint)
        state = json.loads((checkpoint / "trainer_state.json").read_text())
        (checkpoint / "trainer_state.json").write_text(json.dumps(state | {"global_step": step}))
        weights = load_file(checkpoint / "model.safetensors")
        weights["lm_head.weight"] *= 1 + step / 100  # else one of two equal ones would not be measured
        save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(pristine / "probe.npy", folder)
    return folder


WORDS = ("scan", "run", "--probe", "probe.npy", *SMALL)


def _wait_for_the_first_checkpoint(process: subprocess.Popen[str]) -> None:
    """Or for the end. Stages that last are told before it, on a slow machine."""
    while "/4)" not in (line := process.stderr.readline()) and line:
        pass


@pytest.fixture(scope="module")
def undisturbed(series, start, numbers_of) -> tuple[dict[str, Any], float]:
    """Numbers of a scan that nothing disturbed, and its seconds from the first checkpoint to the end."""
    process = start(*WORDS, "-o", "undisturbed.spectra.h5", cwd=series)
    with process:
        _wait_for_the_first_checkpoint(process)
        began = time.monotonic()
        process.communicate()
    assert process.returncode == 0
    return numbers_of(series / "undisturbed.spectra.h5"), time.monotonic() - began


@pytest.fixture
def finish(series, start, tmp_path) -> Callable[[], Path]:
    """Run the scan to its end."""

    def run() -> Path:
        process = start(*WORDS, "-o", tmp_path / "a.spectra.h5", cwd=series)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        return tmp_path / "a.spectra.h5"

    return run


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_the_archive_is_the_same(
    series, start, undisturbed, finish, numbers_of, tmp_path
):
    expected, seconds = undisturbed
    output = tmp_path / "a.spectra.h5"
    delays = [random.uniform(0, seconds / 2) for _ in range(2)]
    for delay in delays:
        with start(*WORDS, "-o", output, cwd=series) as process:
            _wait_for_the_first_checkpoint(process)
            time.sleep(delay)
            process.kill()
    assert numbers_of(finish()) == expected, f"killed after {delays} seconds"
    assert not parts_folder(output).exists()


_DIE_AT_COMMIT = """
import os, signal, sys
from spectra_cli.__main__ import main
import spectra_cli.workflows.scan, spectra_cli.extract.session, transformers.models.llama.modeling_llama
real = os.replace

def attempt(nth, after):
    calls = 0
    def replace(source, target, **more):
        nonlocal calls
        calls += 1
        if calls == nth and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target, **more)
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
    os.replace = replace
    main()

for nth, after in ((1, False), (1, True), (2, False), (2, True), (1, False), (1, True)):
    child = os.fork()
    if child == 0:
        attempt(nth, after)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.mark.slow
def test_killed_just_before_and_after_each_commit_the_archive_is_the_same(
    series, undisturbed, finish, numbers_of, tmp_path
):
    # A commit is a rename; fork, because the imports would take most of the time otherwise.
    output = tmp_path / "a.spectra.h5"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _DIE_AT_COMMIT, *WORDS, "-q", "-o", output],
        cwd=series,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    codes = [int(line) for line in done.stdout.split() if line.lstrip("-").isdigit()]
    assert codes == [-signal.SIGKILL] * 6, done.stdout + done.stderr
    assert numbers_of(finish()) == undisturbed[0]
    assert not list_parts(output)


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "ended by SIGTERM")],
)
def test_ctrl_c_and_sigterm_say_so_and_keep_what_is_finished(series, start, tmp_path, number, code, words):
    output = tmp_path / "a.spectra.h5"

    def listen() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it

    with start(*WORDS, "-o", output, cwd=series, preexec_fn=listen) as process:
        _wait_for(lambda: list_parts(output), process)
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out) == (code, ""), err
    assert words in err
    assert "again" in err
    assert "Traceback" not in err
    assert 1 <= len(open_archive(output)) < 4


def _wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, "the scan ended before it could be disturbed"
        time.sleep(0.002)


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 16 KiB, which is less than any archive."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_ends_in_3_with_the_file_that_could_not_be_written(spectra, place, request):
    shutil.copytree("run/checkpoint-4", "run/checkpoint-6")
    before = ARCHIVE.read_bytes()
    request.getfixturevalue("small_disk")
    found = spectra("scan", *GOOD)
    assert (found.code, found.out) == (3, "")
    assert "run.spectra.h5" in found.err
    assert "Traceback" not in found.err
    assert ARCHIVE.read_bytes() == before
    assert not list_parts(ARCHIVE)
