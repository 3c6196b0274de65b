"""One matrix or two: the tensors decide, at inspection as in a scan."""

import dataclasses

import pytest
import torch

from spectra_cli.extract.models.claims.tied_embeddings import stored_pairs
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.models.transformers.loading import build_module
from spectra_cli.extract.series.fit import skeleton_of
from spectra_cli.extract.series.opened import open_series
from spectra_cli.extract.series.outline import num_parameters, outline_header
from tests.extract.writers.huggingface import CONFIGS, random_model

CPU = torch.device("cpu")
APART = "config.json ties lm_head.weight to model.embed_tokens.weight, and the file holds them apart"


def holding_both(write, head):
    """A qwen2 that its configuration ties, with a head in the file all the same."""
    state = {**write("qwen2").state, "lm_head.weight": head}
    like = write("qwen2").header
    embed = like.tensors["model.embed_tokens.weight"]
    header = dataclasses.replace(
        like,
        tensors={**like.tensors, "lm_head.weight": embed},
        same_values=lambda one, other: torch.equal(state[one], state[other]),
    )
    return header, state


def test_values_apart_make_two_matrices_with_a_notice(write):
    header, state = holding_both(write, torch.randn(61, 32))
    family = find_family(header)
    outlined, scanned = (family.build(header, given, device=CPU) for given in (None, state))
    tied = family.build(write("qwen2").header, None, device=CPU)
    assert num_parameters(outlined) == num_parameters(scanned) == num_parameters(tied) + 61 * 32
    addresses = [v.site.address for v in scanned.matrices]
    assert "lm_head" in addresses
    assert [v.site.address for v in outlined.matrices] == addresses
    assert outlined.notices == scanned.notices == (f"{APART}: measured as two matrices",)


def test_equal_values_are_one_matrix_without_a_word(write):
    header, state = holding_both(write, write("qwen2").state["model.embed_tokens.weight"].clone())
    for given in (None, state):
        module, notices = build_module(header, given, device=CPU)
        assert module.lm_head.weight is module.model.embed_tokens.weight
        assert notices == ()


def test_a_head_alone_is_the_embedding_too(write):
    _, state = holding_both(write, write("qwen2").state["model.embed_tokens.weight"].clone())
    del state["model.embed_tokens.weight"]
    tensors = {n: t for n, t in holding_both(write, None)[0].tensors.items() if n in state}
    header = dataclasses.replace(write("qwen2").header, tensors=tensors)
    for given in (None, state):
        module, notices = build_module(header, given, device=CPU)
        assert module.lm_head.weight is module.model.embed_tokens.weight
        assert notices == ()


@pytest.mark.parametrize("name", ["gpt2", "bloom"])
def test_files_without_the_base_prefix_hold_the_pair_too(write, name):
    module = random_model({"model_type": name, **CONFIGS[name]})
    (pair,) = module.all_tied_weights_keys.items()
    stored = [n.removeprefix("transformer.") for n in (*write(name).state, "lm_head.weight")]
    assert stored_pairs(module, stored) == {pair: ("lm_head.weight", pair[1].removeprefix("transformer."))}
    assert stored_pairs(module, write(name).state) == {}


def test_a_series_whose_pair_comes_apart(tmp_path):
    """Equal headers do not make equal models: each checkpoint is outlined by its own values."""
    module = random_model({"model_type": "qwen2", **CONFIGS["qwen2"]})
    for step, change in ((1, 0.0), (2, 1.0)):
        folder = tmp_path / f"checkpoint-{step}"
        module.config.save_pretrained(folder)
        state = {n: t.clone() for n, t in module.state_dict().items()}
        state["lm_head.weight"] += change
        torch.save(state, folder / "pytorch_model.bin")
    series = open_series(str(tmp_path))
    headers = [series.source.header(ref) for ref in series.refs]
    first, second = (
        outline_header(series, header, skeleton_of(series, header, heeds_ties=True), compute_dtype="float32")
        for header in headers
    )
    assert second.num_parameters - first.num_parameters == 61 * 32
    assert not any(APART in notice for notice in first.notices)
    assert any(APART in notice for notice in second.notices)
