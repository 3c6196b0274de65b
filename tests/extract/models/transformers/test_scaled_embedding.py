"""A scaled embedding against the module that it was, and its gradients against autograd."""

import numpy as np
import pytest
import torch
from torch import nn

from spectra_cli.extract.models.transformers.scaled_embedding import ScaledEmbedding, take_apart

GRADIENT = "gradient_matrix"


class Scaled(nn.Embedding):
    """As transformers writes it."""

    embed_scale = 3.0

    def forward(self, ids):
        return super().forward(ids) * self.embed_scale


class Shifted(Scaled):
    """Does more than scale."""

    def forward(self, ids):
        return super().forward(ids) + 1


@pytest.fixture
def ids():
    return torch.tensor([[4, 0, 2], [1, 1, 3]])


def test_parts_give_what_the_module_gave_and_share_its_weight(ids):
    whole = Scaled(5, 4, padding_idx=1)
    module = nn.ModuleDict({"inner": nn.ModuleDict({"embed": whole})})
    lookup = take_apart(module, "inner.embed")
    assert isinstance(module["inner"]["embed"], ScaledEmbedding)
    assert lookup.weight is whole.weight
    assert lookup.padding_idx == 1
    assert torch.equal(module["inner"]["embed"](ids), whole(ids))


@pytest.mark.parametrize("embed", [nn.Embedding(5, 4), Shifted(5, 4)])
def test_other_embeddings_stay_as_they_are(embed):
    module = nn.ModuleDict({"embed": embed})
    assert take_apart(module, "embed") is embed is module["embed"]


@pytest.mark.parametrize("name", ["gemma", "gemma2-window", "gemma3-window"])
def test_the_tables_gradients_are_autograds(name, model_of, make_probe, scan, slow_reference, spectra_of):
    probe = make_probe(6, 5)
    found = spectra_of(scan(model_of(name), probe, matrices=("embed",), dtype="float64"), GRADIENT)
    truth = slow_reference(model_of(name), probe, ["embed"])
    expected = truth.singular_values("embed").numpy()
    # float64; the singular values come from a Gram matrix, whose error grows to the root of its rounding
    np.testing.assert_allclose(found["embed"].values, expected, rtol=0, atol=1e-7 * expected[0])
    (view,) = (v for v in model_of(name).matrices if v.site.component == "embed")
    assert view.site.name == "model.embed_tokens.weight"
    assert view.aliases == ("lm_head.weight",)
