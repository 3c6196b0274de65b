"""Memory of loading, in a process of its own: the built model plus at most 1.2 checkpoints, and no more
at the end of twenty checkpoints than after five.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.extract.writers import decoder
from tests.extract.writers.distributed import save

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from /proc"),
]

_RESIDENT = """
import gc, statistics, sys
import torch

def resident(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))

def forget_peak():
    gc.collect()
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
"""

_MEASURE = (
    _RESIDENT
    + """
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.models.registry import find_family

def load(path):
    source = find_source(path)
    (ref,) = source.refs()
    header = source.header(ref)
    return header, find_family(header).build(header, source.open(ref), device=torch.device("cpu"))

load(sys.argv[1])  # what is imported or set up once is no cost of a checkpoint
forget_peak()
before = resident("VmRSS")
header, model = load(sys.argv[2])
built = sum(p.nbytes for p in dict.fromkeys(model.module.parameters()))
print((resident("VmHWM") - before - built) / header.num_bytes)
"""
)

_MEASURE_SERIES = (
    _RESIDENT
    + """
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.series.opened import open_series
from spectra_cli.extract.series.probe import read_probe
from spectra_cli.core.scan_request import Resources, ScanRequest
from spectra_cli.extract.session import Session

settings = ScanSettings(
    measurements=("activation_covariance", "gradient"), matrices=("attn.q",), num_sequences=4,
    num_gradient_sequences=4, sequence_length=8, num_blocks=2,
)
series = open_series(sys.argv[1])
probe = read_probe(series, ScanRequest(checkpoints="run", settings=settings, probe="synthetic")).probe
peaks, left = [], []
with Session(series, probe, settings, Resources(device="cpu", batch_size=2)) as session:
    for ref in series.refs:
        forget_peak()
        session.measure(ref, lambda *_: None)
        peaks.append(resident("VmHWM"))
        gc.collect()
        left.append(resident("VmRSS"))
size = series.first.num_bytes
for memory in (peaks, left):
    print((statistics.median(memory[-5:]) - statistics.median(memory[5:10])) / size)
"""
)


def _llama(width, layers):
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=4 * width,
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            tie_word_embeddings=False,
        )
    )


def _write(model, folder, kind):
    if kind == "dcp":
        save({"model": model.state_dict()}, folder / "step-1")
        model.config.save_pretrained(folder)
    elif kind == "pickled":
        model.config.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    else:
        model.to(torch.bfloat16 if kind == "bfloat16" else torch.float32).save_pretrained(folder)


def _write_nanogpt(folder, width, layers):
    folder.mkdir()
    state = decoder.random_state("n", width=width, num_layers=layers)
    torch.save({"model": state, "model_args": {"n_head": 4}, "iter_num": 1}, folder / "ckpt.pt")


def _run(script, *arguments):
    found = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(number) for number in found.stdout.split()]


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "dcp", "pickled", "nanogpt"])
def test_no_more_than_a_fifth_above_model_and_checkpoint(tmp_path, kind):
    # 68 MB in float32
    if kind == "nanogpt":
        _write_nanogpt(tmp_path / "tiny", 16, 1)
        _write_nanogpt(tmp_path / "large", 352, 11)
    else:
        _write(_llama(16, 1), tmp_path / "tiny", kind)
        _write(_llama(352, 10), tmp_path / "large", kind)
    (share,) = _run(_MEASURE, tmp_path / "tiny", tmp_path / "large")
    assert share <= 1.2


@pytest.mark.parametrize("kind", ["float32", "dcp", "nanogpt"])
def test_a_series_of_twenty_does_not_grow(tmp_path, kind):
    """Neither the peak nor what is left: what the allocator keeps varies by a quarter of these 16 MB."""
    run = tmp_path / "run"
    if kind == "nanogpt":
        _write_nanogpt(run, 176, 10)
        for step in range(20):
            (run / f"ckpt_{step + 1}.pt").hardlink_to(run / "ckpt.pt")
        (run / "ckpt.pt").unlink()
    elif kind == "dcp":
        _write(_llama(176, 10), run, kind)
        for step in range(2, 21):
            shutil.copytree(run / "step-1", run / f"step-{step}", copy_function=os.link)
    else:
        _write(_llama(176, 10), run / "checkpoint-1", kind)
        for step in range(2, 21):
            shutil.copytree(run / "checkpoint-1", run / f"checkpoint-{step}", copy_function=os.link)
    grown_peak, grown_rest = _run(_MEASURE_SERIES, run)
    assert grown_peak < 0.5
    assert grown_rest < 0.5
