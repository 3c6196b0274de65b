import dataclasses
import json

import numpy as np
import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.models.decoder.masks import MaskRule
from spectra_cli.extract.models.nanogpt.family import NANOGPT
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.series.outline import num_parameters

CPU = torch.device("cpu")


def build(header_of, state, *, weights=True, **arguments):
    header = header_of({"layout": "spectral-lens", "n_head": 4, **arguments}, state, format="nanogpt")
    return NANOGPT.build(header, state if weights else None, device=CPU)


@pytest.mark.parametrize(("variant", "num_keys"), [("3", 51), ("4", 86), ("4s", 74), ("6", 74)])
def test_parameter_names_and_their_number_are_the_checkpoints(header_of, decoder_state, variant, num_keys):
    state = decoder_state(variant, num_layers=12)
    loaded = build(header_of, state).module.state_dict()
    assert len(state) == num_keys
    assert {n: t.shape for n, t in loaded.items()} == {n: t.shape for n, t in state.items()}
    assert all(torch.equal(t, state[n]) for n, t in loaded.items())


@pytest.mark.parametrize("variant", ["3", "nb"])
def test_fused_rows_are_q_k_v_in_thirds(header_of, decoder_state, variant):
    state = decoder_state(variant)
    views = {v.site.address: v for v in build(header_of, state).matrices}
    fused = state["transformer.h.1.attn.c_attn.weight"]
    for i, letter in enumerate("qkv"):
        view = views[f"blocks.1.attn.{letter}"]
        assert torch.equal(view.weight(), fused[32 * i : 32 * (i + 1)])
        assert view.site.name == "transformer.h.1.attn.c_attn.weight"


@pytest.mark.parametrize("variant", ["n", "3", "4", "4s", "6"])
def test_sites_are_canonical_and_the_gate_is_absent(header_of, decoder_state, variant):
    model = build(header_of, decoder_state(variant))
    block = ["attn.q", "attn.k", "attn.v", "attn.o", "mlp.up", "mlp.down"]
    sites = ["embed", *(f"blocks.{i}.{c}" for i in range(2) for c in block)]
    assert [v.site.address for v in model.matrices] == sites + (["lm_head"] if variant == "6" else [])
    absent = {s.address for s in model.absent}
    assert absent == {"blocks.0.mlp.gate", "blocks.1.mlp.gate"} | (set() if variant == "6" else {"lm_head"})


@pytest.mark.parametrize("variant", ["n", "3", "4", "4s", "6"])
def test_skeleton_has_the_sites_and_shapes_of_the_loaded_model(header_of, decoder_state, variant):
    state = decoder_state(variant)
    skeleton, model = build(header_of, state, weights=False), build(header_of, state)

    def outline(m):
        return [(v.site.address, v.site.name, v.shape) for v in m.matrices], m.max_length, num_parameters(m)

    assert outline(skeleton) == outline(model)
    assert model.max_length == (16 if variant in ("n", "3") else None)


def test_tied_embeddings_are_one_parameter(header_of, decoder_state):
    state = decoder_state("4s")
    model = build(header_of, state)
    assert model.module.lm_head.weight is model.module.embedding.weight
    assert num_parameters(model) == sum(t.numel() for n, t in state.items() if n != "lm_head.weight")
    # a copy with equal values is as tied as a shared one; an absent head is too
    copied = {**state, "lm_head.weight": state["lm_head.weight"].clone()}
    absent = {n: t for n, t in state.items() if n != "lm_head.weight"}
    assert {build(header_of, s).architecture for s in (state, copied, absent)} == {model.architecture}


def test_separate_copies_are_compared_before_the_weights_are_read(header_of, decoder_state):
    shared = decoder_state("4s")
    copied = {**shared, "lm_head.weight": shared["lm_head.weight"].clone()}
    header = header_of({"layout": "spectral-lens", "n_head": 4}, copied, format="nanogpt")
    for equal in (True, False):
        known = dataclasses.replace(header, same_values=lambda one, other, equal=equal: equal)
        skeleton = NANOGPT.build(known, None, device=CPU)
        assert skeleton.module.config.tied is equal
        assert skeleton.module.config.embed_norm is not equal


@pytest.mark.parametrize(
    ("lost", "extra", "message"),
    [
        ("transformer.h.1.attn.c_v.weight", None, "1 missing: transformer.h.1.attn.c_v.weight"),
        (None, "transformer.h.0.attn.c_x.weight", "1 unexpected: transformer.h.0.attn.c_x.weight"),
    ],
)
def test_tensors_that_do_not_fit_fail_with_the_list(header_of, decoder_state, lost, extra, message):
    state = decoder_state("6")
    state.pop(lost, None)
    if extra:
        state[extra] = torch.ones(2)
    for weights in (True, False):
        with pytest.raises(ModelError, match=message):
            build(header_of, state, weights=weights)


def test_misshapen_tensors_fail(header_of, decoder_state):
    state = decoder_state("3") | {"transformer.h.1.mlp.c_proj.weight": torch.ones(32, 5)}
    with pytest.raises(ModelError, match=r"c_proj\.weight \(32, 5\) in the file, \(32, 128\) expected"):
        build(header_of, state)


def test_stored_causal_masks_are_left_out(header_of, decoder_state):
    state = decoder_state("nb") | {"transformer.h.0.attn.bias": torch.ones(1, 1, 16, 16)}
    assert "transformer.h.0.attn.bias" not in build(header_of, state).module.state_dict()


def test_half_precision_files_become_float32(header_of, decoder_state):
    state = {n: t.bfloat16() for n, t in decoder_state("6").items()}
    model = build(header_of, state)
    assert {p.dtype for p in model.module.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in model.module.parameters())
    assert not model.module.training


def toy_names(state):
    renamed = {
        n.replace("transformer.h.", "blocks.").replace("transformer.wte", "tok_embed"): t
        for n, t in state.items()
    }
    positions = renamed.pop("transformer.wpe.weight", None)
    return renamed if positions is None else {**renamed, "pos_embed": positions}


@pytest.mark.parametrize("variant", ["3", "4s", "6"])
def test_toy_models_are_the_same_decoder_under_other_names(header_of, decoder_state, tokens, variant):
    state = decoder_state(variant)
    plain, toy = build(header_of, state), build(header_of, toy_names(state), layout="toy")
    assert torch.equal(plain.module(tokens), toy.module(tokens))
    assert toy.architecture == plain.architecture
    assert toy.matrices[0].site.name == "tok_embed.weight"
    assert toy.matrices[-2].site.name.startswith("blocks.1.")


def test_names_that_collide_are_refused(header_of, decoder_state):
    state = decoder_state("3")
    with pytest.raises(ModelError, match=r"both stand for transformer\.wte\.weight"):
        build(header_of, {**state, "tok_embed.weight": state["transformer.wte.weight"]})


def sparse_state(*, layers=4, width=32):
    """Random tensors of variants 13 to 19, the last block without attention; names of a compiled model."""
    shapes = {
        "transformer.wte.weight": (61, width),
        "lm_head.weight": (61, width),
        "skip_weights": (layers // 2,),
    }
    shapes |= {f"value_embeds.emb.{j}.weight": (61, width) for j in range(3)}
    for i in range(layers):
        block = f"transformer.h.{i}"
        shapes |= {f"{block}.lambdas": (2,), f"{block}.mlp.c_fc.weight": (4 * width, width)}
        shapes[f"{block}.mlp.c_proj.weight"] = (width, 4 * width)
        if i != 3:
            shapes |= {f"{block}.attn.c_{c}.weight": (width, width) for c in ("q", "k", "v", "proj")}
            shapes[f"{block}.attn.mix"] = (2,)
    generator = torch.Generator().manual_seed(0)
    return {f"_orig_mod.{n}": 0.3 * torch.randn(s, generator=generator) for n, s in sorted(shapes.items())}


def test_a_file_of_a_late_variant_is_read_as_its_trainer_wrote_it(tmp_path):
    """Compiled names, random state beside the model, arguments in a file of their own, windows by step."""
    state = sparse_state()
    arguments = {"wandb_run_name": "17_lswa_gpt2", "n_head": 4, "block_size": 128, "window_warmup_steps": 100}
    (tmp_path / "args.json").write_text(json.dumps({**arguments, "eot": 5, "sequence_length": 65536}))
    rng = {"torch": torch.get_rng_state(), "cuda": None, "numpy": np.random.RandomState(0).get_state()}
    for step in (0, 50):
        content = {"step": step, "val_loss": None, "model": state, "optimizers": [], "rng": rng, "extra": {}}
        torch.save(content, tmp_path / f"ckpt_step_{step:07d}.pt")
    source = find_source(str(tmp_path))
    models = []
    for ref in source.refs():
        header = source.header(ref)
        family = find_family(header)
        models.append(family.build(header, source.open(ref), device=CPU))
        skeleton = family.build(header, None, device=CPU)
        assert [v.site for v in skeleton.matrices] == [v.site for v in models[-1].matrices]
    early, late = models
    assert early.architecture == late.architecture == "variant 17 (long and short windows)"
    assert early.module.config.mask == MaskRule(window_blocks=1, eot=5)
    assert late.module.config.mask == MaskRule(window_blocks=7, eot=5)
    assert late.module.config.short_mask == MaskRule(window_blocks=3, eot=5)
    for part in ("wandb_run_name", "attention window 7 blocks of 128 tokens, at step 50", "FP8 head"):
        assert any(part in n for n in late.notices), part
    stream = torch.randint(61, (1, 1000), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert not torch.allclose(early.module(stream), late.module(stream))
    absent = {s.address: why for s, why in late.absent.items() if s.layer == 3}
    assert absent["blocks.3.attn.q"] == "this block has no attention"
