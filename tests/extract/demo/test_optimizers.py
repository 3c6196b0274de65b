import pytest
import torch

from spectra_cli.extract.demo.optimizers import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(12, 12), (8, 20), (20, 8)])
def test_singular_values_become_one_nearly_and_directions_stay(shape):
    matrix = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    mapped = s / s.norm()
    for _ in range(5):
        mapped = 3.4445 * mapped - 4.7750 * mapped**3 + 2.0315 * mapped**5
    # the map acts on singular values alone; 1e-6 covers the 1e-7 beside the norm
    assert torch.allclose(orthogonalize(matrix), u @ torch.diag(mapped) @ vh, atol=1e-6)
    assert (mapped > 0.6).all()
    assert (mapped < 1.25).all()


def test_a_zero_gradient_gives_a_zero_step():
    assert (orthogonalize(torch.zeros(3, 4)) == 0).all()


def test_two_steps_follow_nesterov_momentum():
    generator = torch.Generator().manual_seed(1)
    start, *gradients = (torch.randn(6, 3, generator=generator) for _ in range(3))
    weight = torch.nn.Parameter(start.clone())
    optimizer = Muon([weight], lr=0.1, momentum=0.9)
    expected, velocity = start.clone(), torch.zeros(6, 3)
    for gradient in gradients:
        weight.grad = gradient
        optimizer.step()
        velocity = 0.9 * velocity + gradient
        expected -= 0.1 * 2**0.5 * orthogonalize(gradient + 0.9 * velocity)
        # float32 rounding of a few operations
        assert torch.allclose(weight, expected, atol=1e-6)


def test_a_wide_matrix_takes_steps_of_unit_size_and_one_without_gradient_none():
    wide, idle = torch.nn.Parameter(torch.zeros(3, 6)), torch.nn.Parameter(torch.ones(2, 2))
    wide.grad = torch.eye(3, 6)
    Muon([wide, idle], lr=0.1).step()
    assert torch.allclose(wide, -0.1 * orthogonalize(1.95 * torch.eye(3, 6)))
    assert (idle == 1).all()
