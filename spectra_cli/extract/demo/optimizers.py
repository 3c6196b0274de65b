"""Muon: momentum whose matrix is made orthogonal before it becomes a step."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

# quintic that drives every singular value in (0, 1] towards 1, fast rather than exactly
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrix: Tensor, *, num_steps: int = 5) -> Tensor:
    """Nearly `U V^T` of `matrix = U S V^T`: singular values between about 0.7 and 1.2.

    Newton-Schulz: `X <- a X + b (X X^T) X + c (X X^T)^2 X`, from `X = matrix / ||matrix||_F`, in the
    dtype of the matrix (the published code casts to bfloat16 for speed on GPUs).

    Args:
        matrix: (m, n).

    Source:
        Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(num_steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, times `sqrt(max(1, rows / columns))`; matrices only."""

    def __init__(self, matrices: Iterable[Tensor], *, lr: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                velocity = state["momentum_buffer"].mul_(group["momentum"]).add_(matrix.grad)
                direction = orthogonalize(matrix.grad + group["momentum"] * velocity)
                rows, columns = matrix.shape
                matrix.add_(direction, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)
