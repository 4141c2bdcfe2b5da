"""Muon: every matrix moves by the nearest orthogonal matrix to its averaged gradient (Jordan et al. 2024).

torch has a Muon that always computes in bfloat16, which a processor without such units emulates: slower than the training
step itself. This one computes in float32 there, and all matrices of one shape at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# The quintic a X + b X X' X + c (X X')^2 X drives all singular values into about [0.7, 1.2] in five steps from [0.01, 1].
QUINTIC = (3.4445, -4.7750, 2.0315)
NUM_ITERATIONS = 5
LEAST_NORM = 1e-7
LONG = 1.5  # times as long as wide: from there on products of the small side's square matrices are less work


class Muon:
    """Nesterov momentum, made orthogonal. The update has the size of AdamW's, so that one learning rate serves both.

    An orthogonal m x n update is multiplied by ``0.2 sqrt(max(m, n))``, which gives it the root mean square 0.2 (Liu et al.
    2025, arXiv 2502.16982, eq. 4). Weight decay is decoupled.
    """

    def __init__(
        self,
        matrices: Sequence[Tensor],
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take the `matrices` [m, n] to move; the orthogonal ones are computed in `dtype`."""
        self.parameters = list(matrices)
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._momentum = momentum
        self._weight_decay = weight_decay
        self._dtype = dtype

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move every matrix that has a gradient."""
        by_shape: dict[torch.Size, dict[Tensor, Tensor]] = {}
        for matrix in self.parameters:
            if matrix.grad is not None:
                by_shape.setdefault(matrix.shape, {})[matrix] = matrix.grad
        for gradients in by_shape.values():
            self._move(gradients, lr)

    def _move(self, gradients: dict[Tensor, Tensor], lr: float) -> None:
        """Move matrices of one shape, each of which has its gradient."""
        matrices, directions = list(gradients), list(gradients.values())
        for matrix in matrices:
            if matrix not in self.state:
                self.state[matrix] = {"momentum_buffer": torch.zeros_like(matrix)}
        averages = [self.state[matrix]["momentum_buffer"] for matrix in matrices]
        torch._foreach_lerp_(averages, directions, 1 - self._momentum)
        stacked = torch.stack(torch._foreach_lerp(directions, averages, self._momentum)).to(self._dtype)
        updates = orthogonal(stacked).to(matrices[0].dtype).contiguous()
        size = 0.2 * max(matrices[0].shape) ** 0.5
        torch._foreach_mul_(matrices, 1 - lr * self._weight_decay)
        torch._foreach_add_(matrices, list(updates.unbind()), alpha=-lr * size)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return matrices [B, m, n] with the singular vectors of the given ones and all singular values about 1."""
    wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x: Tensor = wide / torch.linalg.matrix_norm(wide.float(), keepdim=True).clamp(min=LEAST_NORM).to(wide.dtype)
    by_gram = x.dtype == torch.float32 and x.shape[2] > LONG * x.shape[1]
    x = orthogonal_by_gram(x) if by_gram else orthogonal_by_steps(x)
    return x.mT if wide is not matrices else x


def orthogonal_by_steps(x: Tensor) -> Tensor:
    """Return `x` [B, m, n], of norm 1, after the iterations, as they are written above."""
    a, b, c = QUINTIC
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x


def orthogonal_by_gram(x: Tensor) -> Tensor:
    """Return the same for m < n, from products of m x m matrices: an iteration P X takes the Gram matrix G to P G P.

    So X is read twice, and not twice an iteration. Rounding errors of G grow, by 12 each time at most, for the singular
    values near 0: 1e-4 of the result in float32, too much in bfloat16.
    """
    a, b, c = QUINTIC
    gram = x @ x.mT
    product: Tensor | None = None
    for iteration in range(NUM_ITERATIONS):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=1, dim2=2).add_(a)
        product = polynomial if product is None else polynomial @ product
        if iteration < NUM_ITERATIONS - 1:
            gram = polynomial @ gram @ polynomial
    assert product is not None
    return product @ x
