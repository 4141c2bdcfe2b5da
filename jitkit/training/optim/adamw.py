"""AdamW (Loshchilov & Hutter 2019) by torch's function, without torch's class.

Creating a `torch.optim.Optimizer` loads torch's compiler, which takes as long as importing torch, and 80 MB. The function that
`torch.optim.AdamW` calls does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from jitkit.parallel.sharding import local

EPS = 1e-8


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
            adamw(
                [local(parameter) for parameter in gradients],
                [local(gradient) for gradient in gradients.values()],
                exp_avgs=[local(state["exp_avg"]) for state in states],
                exp_avg_sqs=[local(state["exp_avg_sq"]) for state in states],
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


def _fresh(parameter: Tensor) -> dict[str, Tensor]:
    """Return the state of a parameter before its first step."""
    return {
        "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }
