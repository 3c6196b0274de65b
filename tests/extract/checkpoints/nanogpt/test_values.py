import torch

from spectra_cli.extract.checkpoints.nanogpt.source import NanoGPTFormat
from spectra_cli.extract.checkpoints.nanogpt.values import value_weights


def test_value_weights_are_those_of_the_layers_that_have_them():
    state = {
        "transformer.h.0.attn.mix": torch.tensor([0.5, 0.25]),
        "transformer.h.10.attn.mix": torch.ones(3),
        "transformer.h.1.attn.lamb": torch.ones(2),
    }
    assert value_weights(state) == {0: 0.25}


def test_a_header_has_them_and_compares_what_it_is_asked_for(tmp_path):
    embedding = torch.arange(8.0).reshape(4, 2)
    state = {
        "transformer.wte.weight": embedding,
        "lm_head.weight": embedding.clone(),
        "transformer.h.0.attn.c_q.weight": embedding + 1,
        "transformer.h.0.attn.mix": torch.tensor([0.5, 0.25]),
    }
    content = {"step": 3, "model": {f"_orig_mod.{n}": t for n, t in state.items()}}
    torch.save(content, tmp_path / "ckpt_step_3.pt")
    source = NanoGPTFormat().find(str(tmp_path))
    header = source.header(source.refs()[0])
    assert header.value_weights == {0: 0.25}
    assert header.same_values("transformer.wte.weight", "lm_head.weight")
    assert not header.same_values("transformer.wte.weight", "transformer.h.0.attn.c_q.weight")
