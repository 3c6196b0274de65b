"""The spectra of weight matrices, and the vectors kept beside them."""

import numpy as np
import torch
from torch import nn

from spectra_cli.core.types import Site, SpectrumKind, Status
from spectra_cli.extract.measurements.measurement import EachMatrix
from spectra_cli.extract.measurements.weights import weight_spectrum
from spectra_cli.extract.protocols import MatrixView


def view_of(weight, **changes):
    module = nn.Linear(1, 1, bias=False)
    module.weight = nn.Parameter(weight, requires_grad=False)
    return MatrixView(site=Site(layer=0, component="attn.q", name="q.weight"), module=module, **changes)


def test_rank_one_and_zero():
    (spectrum,) = weight_spectrum(view_of(torch.outer(torch.arange(1.0, 5), torch.ones(6)))).spectra
    np.testing.assert_allclose(spectrum.values[0], np.sqrt(30 * 6), rtol=1e-6)
    assert spectrum.num_zero == 3
    (spectrum,) = weight_spectrum(view_of(torch.zeros(4, 6))).spectra
    assert not spectrum.values.any()
    assert spectrum.num_zero == 4


def test_a_view_takes_its_rows_and_its_transpose():
    stored = torch.randn(6, 12, generator=torch.Generator().manual_seed(3))
    (spectrum,) = weight_spectrum(view_of(stored, transposed=True, rows=slice(4, 8))).spectra
    assert (spectrum.num_samples, spectrum.ambient_dim) == (4, 6)  # fan_out x fan_in
    assert spectrum.kind is SpectrumKind.SINGULAR_VALUES
    assert spectrum.unit == "weight_unit"
    np.testing.assert_allclose(
        spectrum.values, np.linalg.svd(stored[:, 4:8].numpy(), compute_uv=False), rtol=1e-5
    )


def test_non_finite_weights_are_skipped_by_name_and_the_others_measured():
    spoiled = torch.ones(3, 4)
    spoiled[0, 0] = float("inf")
    spoiled[1, 2] = float("nan")
    measured = EachMatrix(views=(view_of(spoiled), view_of(torch.eye(3))), measure=weight_spectrum).finish()
    (skipped,) = measured.skipped
    assert skipped.status is Status.NONFINITE
    assert skipped.reason == "2 of 12 weights are NaN or infinity"
    assert len(measured.spectra) == 1


def test_leading_vectors_stand_beside_the_values():
    stored = torch.randn(6, 12, generator=torch.Generator().manual_seed(4))
    view = view_of(stored, transposed=True, rows=slice(2, 9))
    (spectrum,) = weight_spectrum(view, num_vectors=3).spectra
    u, _, vt = np.linalg.svd(stored.T[2:9].double().numpy())
    # entries of unit vectors rounded to float32: 6e-8 each
    for found, wanted in ((spectrum.vectors.left, u[:, :3].T), (spectrum.vectors.right, vt[:3])):
        np.testing.assert_allclose(np.abs(found), np.abs(wanted), atol=1e-6)
    (plain,) = weight_spectrum(view).spectra
    assert plain.vectors is None
    np.testing.assert_allclose(plain.values, spectrum.values, rtol=1e-12)
