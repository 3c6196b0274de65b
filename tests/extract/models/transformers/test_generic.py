import pytest
import torch
from torch import nn

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.transformers.generic import GENERIC, find_blocks, linear_views


@pytest.fixture
def unnamed(write):
    """A model of a family that has a name, as it would be found without."""
    return lambda name: GENERIC.build(write(name).header, write(name).state, device=torch.device("cpu"))


def test_opt_gets_canonical_names_and_says_it_was_not_known(unnamed):
    model = unnamed("opt")
    assert model.family == "generic"
    assert model.recognised is False
    expected = ["attn.q", "attn.k", "attn.v", "attn.o", "mlp.up", "mlp.down"]
    assert [v.site.component for v in model.matrices if v.site.layer == 1] == expected
    assert any(
        "OPTForCausalLM is not known by name" in n and "model.decoder.layers" in n for n in model.notices
    )


def test_fused_matrices_keep_their_own_name(unnamed):
    model = unnamed("falcon")
    components = [v.site.component for v in model.matrices if v.site.layer == 0]
    assert components == ["attn.o", "mlp.up", "mlp.down", "self_attention.query_key_value"]
    absent = {s.component for s in model.absent if s.layer == 0}
    assert absent == {"attn.q", "attn.k", "attn.v", "mlp.gate"}


def test_a_state_space_model_keeps_its_own_paths_and_names_what_is_left_out(built):
    model = built("mamba")
    components = [v.site.component for v in model.matrices if v.site.layer == 0]
    assert components == ["mixer.in_proj", "mixer.x_proj", "mixer.dt_proj", "mixer.out_proj"]
    assert any("mixer.A_log, mixer.conv1d.weight (4 tensors)" in n for n in model.notices)


def test_two_claims_on_one_component_both_keep_their_path():
    block = nn.ModuleDict(
        {
            "self_attn": nn.ModuleDict({"q_proj": nn.Linear(4, 4)}),
            "cross_attn": nn.ModuleDict({"q_proj": nn.Linear(4, 4)}),
        }
    )
    found = [v.site.component for v in linear_views(0, block, "layers.0")]
    assert found == ["self_attn.q_proj", "cross_attn.q_proj"]


def test_a_router_called_gate_is_not_the_canonical_gate():
    block = nn.ModuleDict({"mlp": nn.ModuleDict({"gate": nn.Linear(4, 2), "gate_proj": nn.Linear(4, 4)})})
    assert [v.site.component for v in linear_views(0, block, "layers.0")] == ["mlp.gate.weight", "mlp.gate"]


def test_blocks_are_the_longest_outermost_list():
    experts = nn.ModuleList(nn.Linear(2, 2) for _ in range(8))
    module = nn.ModuleDict(
        {
            "extra": nn.ModuleList([nn.Linear(2, 2)]),
            "layers": nn.ModuleList([nn.ModuleDict({"e": experts})] * 3),
        }
    )
    path, blocks = find_blocks(module)
    assert (path, len(blocks)) == ("layers", 3)


def test_no_list_of_blocks_is_an_error():
    with pytest.raises(ModelError, match="no list of blocks"):
        find_blocks(nn.Linear(2, 2))
