"""Sizes that files state and the tensors contradict: notices with both values, and layers that are lost."""

import json
import time

import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.nanogpt.inference import infer_decoder
from spectra_cli.extract.models.nanogpt.structure import Seen
from spectra_cli.extract.series.opened import open_series
from tests.extract.writers import ladder
from tests.extract.writers.decoder import random_state

# sizes of `random_state("n")`, a nanoGPT of two layers
RIGHT = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 16, "bias": False, "vocab_size": 61}


def notices(kind="n", /, *, state=None, **stated):
    shapes = {name: tuple(t.shape) for name, t in (state or random_state(kind)).items()}
    arguments = {"layout": "nanogpt", **RIGHT, **stated}
    seen = Seen(shapes=shapes, arguments=arguments, sources={"config": "ckpt.pt"}, where="a.pt", tied=True)
    return [said for said in infer_decoder(seen).notices if " the tensors " in said]


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("n_embd", 64, 32),
        ("vocab_size", 63, 61),
        ("vocab_size", 10**12, 61),
        ("vocab_size", True, 61),
        ("block_size", 128, 16),
        ("block_size", 0, 16),
        ("n_layer", "two", 2),
        ("model_dim", 999, 32),
    ],
)
def test_the_tensors_decide_and_a_notice_names_both_values_and_the_file(name, value, found):
    assert notices(**{name: value}) == [
        f"{name} is {value!r} by model_args of ckpt.pt, and the tensors have {found}: the tensors decide"
    ]


def test_what_agrees_is_no_notice():
    assert notices() == []
    assert notices("nb", bias=True) == []
    assert notices(n_layer="2", n_embd=32.0, dropout=0.1) == []


@pytest.mark.parametrize(("variant", "bias", "have"), [("n", True, "no biases"), ("nb", False, "biases")])
def test_biases_are_those_of_the_tensors(variant, bias, have):
    assert notices(variant, bias=bias) == [
        f"bias is {bias} by model_args of ckpt.pt, and the tensors have {have}: the tensors decide"
    ]


@pytest.mark.parametrize(("stated", "rows"), [(50257, 50304), (50200, 50304), (1, 64)])
def test_a_padded_vocabulary_is_said_to_be_one(stated, rows):
    wte = torch.empty(rows, 32, device="meta")
    state = {**random_state("n"), "transformer.wte.weight": wte, "lm_head.weight": wte}
    assert notices(state=state, vocab_size=stated) == [
        f"vocab_size is {stated} by model_args of ckpt.pt, and the tensors have {rows}: padded with rows"
    ]


@pytest.mark.parametrize("variant", ["n", "nb", "3", "4", "6"])
@pytest.mark.parametrize("name", ["n_layer", "num_layers", "n_layers"])
def test_a_lost_layer_is_missing(variant, name):
    one = {n.split(".2.")[1] for n in random_state(variant, num_layers=3) if ".h.2." in n}
    first = f"transformer.h.2.{min(one)}"
    said = {"n_layer": None} if name != "n_layer" else {}
    with pytest.raises(ModelError, match=rf"{name} is 3 by .*of 2 layers: {len(one)} missing: {first}"):
        notices(variant, **said, **{name: 3})


def test_a_layer_more_than_stated_is_unexpected():
    with pytest.raises(ModelError, match=r"n_layer is 1 by model_args of ckpt\.pt, .* 6 unexpected: trans"):
        notices(n_layer=1)


def test_a_billion_layers_are_refused_at_once():
    started = time.process_time()
    with pytest.raises(ModelError, match=r"n_layer is 1000000000 by .* and 5999999968 more"):
        notices(n_layer=10**9)
    assert time.process_time() - started < 1


def test_skip_weights_prove_the_depth_of_variant_9():
    state = ladder.state_of("9")
    sizes = {"vocab_size": ladder.V, "n_embd": ladder.C, "n_layer": 24}
    assert notices(state=state, **ladder.arguments_of("9") | sizes) == [
        "n_layer is 24 by model_args of ckpt.pt, and the tensors have 12: the tensors decide"
    ]
    lost = {name: tensor for name, tensor in state.items() if ".h.10." not in name and ".h.11." not in name}
    with pytest.raises(ModelError, match=r"n_layer is 12 by .*of 10 layers"):
        notices(state=lost, **ladder.arguments_of("9") | sizes | {"n_layer": 12})


@pytest.mark.parametrize("heads", [0, -4])
def test_a_number_of_heads_that_is_stated_as_nothing_is_named(heads):
    with pytest.raises(ModelError, match=rf"n_head is {heads}, which does not divide the width 32"):
        notices(n_head=heads)


@pytest.mark.parametrize("kind", ["nanogpt", "paper"])
def test_a_series_with_a_lost_block_is_refused_before_anything_is_measured(kind, tmp_path):
    if kind == "nanogpt":
        content = {"model": random_state("n"), "model_args": RIGHT | {"n_layer": 3}, "iter_num": 100}
        torch.save(content, tmp_path / "ckpt_100.pt")
    else:
        torch.save({"model": random_state("6"), "step": 1}, tmp_path / "checkpoint_step000001.pt")
        (tmp_path / "args.json").write_text(json.dumps({"n_head": 4, "n_layer": 9}))
    with pytest.raises(ModelError, match=r"of 2 layers: \d+ missing: transformer\.h\.2\.") as refused:
        open_series(str(tmp_path))
    assert refused.value.exit_code == 3


def test_the_user_s_word_settles_it(tmp_path):
    torch.save({"model": random_state("6"), "step": 1}, tmp_path / "checkpoint_step000001.pt")
    (tmp_path / "args.json").write_text(json.dumps({"n_head": 4, "n_layer": 9}))
    (tmp_path / "run.toml").write_text("[model]\nn_layer = 2\n")
    assert len(open_series(str(tmp_path)).skeleton.blocks) == 2
