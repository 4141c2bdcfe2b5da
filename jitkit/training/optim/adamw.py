"""AdamW (Loshchilov & Hutter 2019) by torch's function, without torch's class.

Creating a `torch.optim.Optimizer` loads torch's compiler, which takes as long as importing torch, and 80 MB. The function that
`torch.optim.AdamW` calls does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.adamw import adamw

from jitkit.parallel.sharding import local

EPS = 1e-8
VECTOR = 16  # elements in the vectors of torch's kernel, or a multiple


class AdamW:
    """Updates each parameter by its averaged gradient over the root of its averaged square, with decoupled weight decay."""

    def __init__(self, groups: Sequence[tuple[Sequence[Tensor], float]], *, betas: tuple[float, float]) -> None:
        """`groups` are parameters with their weight decay. Parameters must be on their device already."""
        self.parameters = [parameter for members, _ in groups for parameter in members]
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._groups = groups
        self._betas = betas

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update every parameter that has a gradient."""
        for members, weight_decay in self._groups:
            gradients = {parameter: parameter.grad for parameter in members if parameter.grad is not None}
            states = [self.state.setdefault(parameter, _fresh(parameter)) for parameter in gradients]
            changed = [
                [local(parameter) for parameter in gradients],
                [local(state["exp_avg"]) for state in states],
                [local(state["exp_avg_sq"]) for state in states],
            ]
            parameters, averages, squares = ([_padded(value) for value in values] for values in changed)
            adamw(
                parameters,
                [_padded(local(gradient)) for gradient in gradients.values()],
                exp_avgs=averages,
                exp_avg_sqs=squares,
                max_exp_avg_sqs=[],
                state_steps=[state["step"] for state in states],
                fused=True,
                amsgrad=False,
                beta1=self._betas[0],
                beta2=self._betas[1],
                lr=lr,
                weight_decay=weight_decay,
                eps=EPS,
                maximize=False,
            )
            for value, result in zip(chain(*changed), chain(parameters, averages, squares), strict=True):
                if result is not value:
                    value.copy_(result[: value.numel()].view_as(value))


def _padded(value: Tensor) -> Tensor:
    """Return `value`, or a flat copy of it with zeros at the end if it does not fill the vectors of a CPU.

    torch's kernel rounds elements outside of vectors differently. Parts of a sharded tensor would differ from the whole.
    """
    missing = -value.numel() % VECTOR
    return functional.pad(value.flatten(), (0, missing)) if missing and value.device.type == "cpu" else value


def _fresh(parameter: Tensor) -> dict[str, Tensor]:
    """Return the state of a parameter before its first step."""
    return {
        "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }
