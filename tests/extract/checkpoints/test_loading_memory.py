"""Peak memory of loading, in a process of its own: the built model plus at most 1.2 checkpoints."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from transformers import LlamaConfig, LlamaForCausalLM

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from /proc"),
]

_MEASURE = """
import gc, sys
import torch
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.models.registry import find_family

def resident(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))

def load(path):
    source = find_source(path)
    (ref,) = source.refs()
    header = source.header(ref)
    return header, find_family(header).build(header, source.open(ref), device=torch.device("cpu"))

load(sys.argv[1])  # what is imported or set up once is no cost of a checkpoint
gc.collect()
before = resident("VmRSS")
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")
header, model = load(sys.argv[2])
built = sum(p.nbytes for p in dict.fromkeys(model.module.parameters()))
print((resident("VmHWM") - before - built) / header.num_bytes)
"""


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
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            dcp.save({"model": model.state_dict()}, checkpoint_id=folder / "step-1", no_dist=True)
        model.config.save_pretrained(folder)
    else:
        model.to(torch.bfloat16 if kind == "bfloat16" else torch.float32).save_pretrained(folder)


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "dcp"])
def test_no_more_than_a_fifth_above_model_and_checkpoint(tmp_path, kind):
    model = _llama(352, 10)  # 68 MB in float32
    _write(_llama(16, 1), tmp_path / "tiny", kind)
    _write(model, tmp_path / "large", kind)
    found = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(tmp_path / "tiny"), str(tmp_path / "large")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(found.stdout) <= 1.2, found.stdout
