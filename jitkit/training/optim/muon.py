"""Muon: updates each matrix by the orthogonal matrix nearest to its averaged gradient (Jordan et al. 2024).

torch's Muon always computes in bfloat16, which is slower than the training step itself on processors that emulate it. This one
can compute in float32, and handles all matrices of one shape at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jitkit.parallel.sharding import local
from jitkit.training.optim.muon_owners import compute_by_owners, owners_of

# The quintic a X + b X X' X + c (X X')^2 X moves singular values from [0.01, 1] to about [0.7, 1.2] in five iterations.
QUINTIC = (3.4445, -4.7750, 2.0315)
NUM_ITERATIONS = 5
MIN_NORM = 1e-7
LONG = 1.5  # ratio of sides from which products of square matrices of the short side are less work


class Muon:
    """Orthogonalized Nesterov momentum with decoupled weight decay.

    An orthogonal m x n update is multiplied by ``0.2 sqrt(max(m, n))``, which gives it a root mean square of 0.2 as in AdamW,
    so one learning rate fits both (Liu et al. 2025, arXiv 2502.16982, eq. 4).
    """

    def __init__(
        self,
        matrices: Sequence[Tensor],
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take the `matrices` [m, n] to update. Orthogonal matrices are computed in `dtype`."""
        self.parameters = list(matrices)
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._momentum = momentum
        self._weight_decay = weight_decay
        self._dtype = dtype

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update every matrix that has a gradient."""
        by_shape: dict[torch.Size, dict[Tensor, Tensor]] = {}
        for matrix in self.parameters:
            if matrix.grad is not None:
                by_shape.setdefault(matrix.shape, {})[matrix] = matrix.grad
        num_updated = 0
        for gradients in by_shape.values():
            self._update(gradients, lr, num_updated)
            num_updated += len(gradients)

    def _update(self, gradients: dict[Tensor, Tensor], lr: float, earlier: int) -> None:
        """Update matrices of one shape by their gradients, after `earlier` ones of other shapes."""
        for matrix in gradients:
            if matrix not in self.state:
                self.state[matrix] = {"momentum_buffer": torch.zeros_like(matrix)}
        first = next(iter(gradients))
        owners = owners_of(first, len(gradients), earlier)
        matrices, directions = [local(matrix) for matrix in gradients], [local(value) for value in gradients.values()]
        averages = [local(self.state[matrix]["momentum_buffer"]) for matrix in gradients]
        torch._foreach_lerp_(averages, directions, 1 - self._momentum)
        stacked = torch.stack(torch._foreach_lerp(directions, averages, self._momentum)).to(self._dtype)
        updates = compute_by_owners(orthogonal, stacked, owners) if owners else orthogonal(stacked)
        updates = updates.to(first.dtype).contiguous()
        size = 0.2 * max(first.shape) ** 0.5
        torch._foreach_mul_(matrices, 1 - lr * self._weight_decay)
        torch._foreach_add_(matrices, list(updates.unbind()), alpha=-lr * size)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return `matrices` [B, m, n] with the same singular vectors and all singular values near 1."""
    wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x: Tensor = wide / torch.linalg.matrix_norm(wide.float(), keepdim=True).clamp(min=MIN_NORM).to(wide.dtype)
    by_gram = x.dtype == torch.float32 and x.shape[2] > LONG * x.shape[1]
    x = orthogonalize_by_gram(x) if by_gram else orthogonalize(x)
    return x.mT if wide is not matrices else x


def orthogonalize(x: Tensor) -> Tensor:
    """Return `x` [B, m, n], of norm 1, after `NUM_ITERATIONS` of the quintic."""
    a, b, c = QUINTIC
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x


def orthogonalize_by_gram(x: Tensor) -> Tensor:
    """Return the same for m < n, using products of m x m matrices: an iteration P X turns the Gram matrix G into P G P.

    So X is read twice in total, not twice per iteration. For singular values near 0, rounding errors of G grow by up to 12 in
    each iteration: to 1e-4 of the result in float32, and too much in bfloat16.
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
