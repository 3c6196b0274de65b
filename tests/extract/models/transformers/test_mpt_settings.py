"""MPT's settings that transformers' class passes over, against those that it computes."""

import dataclasses

import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.transformers.layouts import LAYOUTS


def build(written, **settings):
    header = dataclasses.replace(written.header, config={**written.header.config, **settings})
    return LAYOUTS["mpt"].build(header, None, device=torch.device("meta"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"logit_scale": "inv_sqrt_d_model"}, "logit_scale = 'inv_sqrt_d_model'"),
        ({"norm_type": "rmsnorm"}, "norm_type = 'rmsnorm'"),
        ({"attn_config": {"alibi": False}}, "alibi = False"),
        ({"attn_config": {"alibi_bias_max": 16}}, "alibi_bias_max = 16"),
        ({"attn_config": {"qk_ln": True, "rope": True}}, "qk_ln = True, rope = True"),
    ],
)
def test_what_would_be_passed_over_is_refused_by_name(write, settings, named):
    with pytest.raises(ModelError, match=f"asks for {named}, which transformers' own mpt passes over"):
        build(write("mpt"), **settings)


def test_settings_of_the_published_models_are_read(write):
    attention = {"alibi": True, "alibi_bias_max": 8, "attn_impl": "torch", "clip_qkv": 6.0}
    model = build(write("mpt"), logit_scale=None, norm_type="low_precision_layernorm", attn_config=attention)
    assert model.blocks[0].attn.clip_qkv == 6
    assert model.max_length == 64
