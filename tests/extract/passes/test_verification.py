import contextlib
import dataclasses

import pytest
import torch
from torch import nn

from spectra_cli.core.errors import ModelError
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.numerics import numerics
from spectra_cli.extract.passes.verification import Verified, verify_gradients


@pytest.fixture
def verify(make_probe):
    def run(model, *, matrices=("all", "embed"), dtype="float32", layers="all"):
        settings = ScanSettings(matrices=matrices, dtype=dtype, layers=layers)
        with numerics(model, settings):
            return verify_gradients(model, make_probe(2, 10), settings)

    return run


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize(
    "name",
    ["llama", "qwen2", "qwen3", "gpt2", "gpt_neox", "falcon", "nanogpt-biases", "variant-3", "variant-6"],
)
def test_sound_models_pass_and_are_left_as_they_were(name, dtype, model_of, verify):
    model = model_of(name)
    verify(model, dtype=dtype)
    assert not any(p.requires_grad or p.grad is not None for p in model.module.parameters())


class Rolled(nn.Linear):
    """A map whose outputs are not in the order of its weight's rows."""

    def forward(self, x):
        return super().forward(x).roll(1, -1)


def sabotaged(model, address, **changes):
    """The model with one view replaced."""
    return dataclasses.replace(
        model,
        matrices=tuple(
            dataclasses.replace(v, **changes) if v.site.address == address else v for v in model.matrices
        ),
    )


def view(model, address):
    return next(v for v in model.matrices if v.site.address == address)


@pytest.mark.parametrize("address", ["blocks.0.attn.q", "blocks.1.attn.v"])
def test_rows_of_the_output_that_are_not_the_matrixs_are_found_out(address, model_of, verify):
    model = model_of("variant-3")
    view(model, address).module.__class__ = Rolled
    with pytest.raises(ModelError, match=r"blocks\.\d\.attn\.[qv] .*differs from autograd's.*--matrices"):
        verify(model, matrices=("attn.q", "attn.v"))


def test_another_module_with_a_matrix_of_its_own(model_of, verify):
    # the taps hang on a module that the forward pass never calls
    model = model_of("llama")
    real = view(model, "blocks.1.attn.q").module
    stray = nn.Linear(32, 32, bias=False)
    stray.weight = real.weight
    holder = model.module.model.layers[1].self_attn

    class Bypass(nn.Module):
        def forward(self, x):
            return nn.functional.linear(x, stray.weight)

    holder.q_proj = Bypass()
    broken = sabotaged(model, "blocks.1.attn.q", module=stray)
    with pytest.raises(ModelError, match=r"blocks\.1\.attn\.q .*understood"):
        verify(broken, matrices=("attn.q",))


def test_in_an_unknown_architecture_only_what_fails_is_left_out(model_of, verify):
    model = model_of("variant-3")
    unknown = dataclasses.replace(model, recognised=False)
    assert verify(unknown, matrices=("all",)) == Verified()
    view(model, "blocks.0.mlp.up").module.__class__ = Rolled
    failed = verify(unknown, matrices=("all",))
    assert list(failed.untappable) == ["mlp.up"]
    assert "blocks.0.mlp.up" in failed.untappable["mlp.up"]
    assert not failed.alone


def test_experts_of_an_unknown_architecture_are_checked_and_left_out_together(model_of, verify):
    model = model_of("variant-3")
    names = {"mlp.up": "experts.0.up", "mlp.down": "experts.1.up"}
    matrices = tuple(
        dataclasses.replace(
            v, site=dataclasses.replace(v.site, component=names.get(v.site.component, v.site.component))
        )
        for v in model.matrices
    )
    unknown = dataclasses.replace(model, recognised=False, matrices=matrices)
    view(unknown, "blocks.0.experts.0.up").module.__class__ = Rolled
    assert sorted(verify(unknown, matrices=("all",)).untappable) == ["experts.0.up", "experts.1.up"]


@pytest.mark.parametrize("roll", [0, 1])
def test_a_map_that_works_in_float32_is_held_to_float32(model_of, verify, roll):
    model = model_of("variant-5")
    linear = view(model, "blocks.0.mlp.down").module

    class Narrow(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = linear.weight

        def forward(self, x):
            return nn.functional.linear(x.float(), self.weight.float()).roll(roll, -1)

    narrow = model.blocks[0].mlp.c_proj = Narrow()
    changed = sabotaged(model, "blocks.0.mlp.down", module=narrow)
    with pytest.raises(ModelError, match="differs") if roll else contextlib.nullcontext():
        verify(changed, matrices=("mlp.down",), dtype="float64")


def test_functional_use_beside_the_module(model_of, verify):
    # half of the gradient goes past the taps
    model = model_of("variant-5")
    linear = view(model, "blocks.0.mlp.down").module

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = linear

        def forward(self, x):
            return self.linear(x) + nn.functional.linear(x, linear.weight)

    model.blocks[0].mlp.c_proj = Twice()
    with pytest.raises(ModelError, match=r"blocks\.0\.mlp\.down .*differs"):
        verify(model, matrices=("mlp.down",))
    verify(model, matrices=("attn.q",))


class Doubled(nn.Embedding):
    """An embedding that scales what it looks up: its output gradient is not the table's."""

    def forward(self, ids):
        return super().forward(ids) * 2


def test_a_scaled_embedding_is_found_out(model_of, verify):
    model = model_of("llama")
    view(model, "embed").module.__class__ = Doubled
    with pytest.raises(ModelError, match=r"the gradient of embed .*leave embed out of --matrices"):
        verify(model, matrices=("embed",))
    verify(model, matrices=("all",))


def test_a_head_that_is_not_the_models(model_of, verify):
    # trunk and head claim another loss: the tapped gradients are still those of that loss
    model = model_of("variant-6")
    calls = []

    def head(hidden):
        calls.append(hidden)
        return model.head(hidden) * (2.0 if len(calls) == 1 else 1.0)

    with pytest.raises(ModelError, match="differs from autograd's"):
        verify(dataclasses.replace(model, head=head), matrices=("attn.o",))


def test_zero_gradients_are_no_difference(model_of, verify):
    def no_output(state):
        for name, tensor in state.items():
            if "c_proj" in name:
                tensor.zero_()

    verify(model_of("variant-5", edit=no_output))


def test_only_the_first_and_last_layer_measured_are_checked(model_of, verify):
    model = model_of("variant-6", num_layers=3)
    view(model, "blocks.1.mlp.down").module.__class__ = Rolled
    verify(model)
    with pytest.raises(ModelError, match=r"blocks\.1\.mlp\.down"):
        verify(model, layers="1-2")


def test_flags_are_put_back_after_a_failure(model_of, verify):
    model = model_of("llama")
    view(model, "embed").module.__class__ = Doubled
    with pytest.raises(ModelError):
        verify(model, matrices=("embed",))
    assert not any(p.requires_grad or p.grad is not None for p in model.module.parameters())
    assert torch.is_grad_enabled()
