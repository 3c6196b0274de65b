import numpy as np
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from spectra_cli.extract.checkpoints.gguf.rope import is_rope_table, llama3_factors


def test_factors_are_those_of_transformers():
    scaled = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": 1.0}
    scaled |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    config = LlamaConfig(hidden_size=256, num_attention_heads=2, rope_parameters=scaled)
    frequencies, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = 500_000.0 ** -(np.arange(64) / 64)
    # transformers works in float32
    np.testing.assert_allclose(llama3_factors(500_000.0, 32.0, 64), plain / frequencies.numpy(), rtol=1e-5)


def test_factors_between_one_and_the_factor():
    factors = llama3_factors(500_000.0, 8.0, 64)
    assert (np.diff(factors) >= 0).all()
    assert (factors[0], factors[-1]) == (1.0, 8.0)


def test_names():
    assert is_rope_table("rope_freqs.weight")
    assert is_rope_table("rope_factors_long.weight")
    assert not is_rope_table("blk.0.attn_q.weight")
