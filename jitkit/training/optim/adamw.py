"""AdamW (Loshchilov & Hutter 2019), torch's own, without the class around it.

`torch.optim.Optimizer` loads torch's compiler as it is made, which takes as long as loading torch itself, and 80 MB. The
function that `torch.optim.AdamW` calls in its step needs neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw

EPS = 1e-8


class AdamW:
    """Every parameter moves by its averaged gradient over the root of its averaged square. Weight decay is decoupled."""

    def __init__(self, groups: Sequence[tuple[Sequence[Tensor], float]], *, betas: tuple[float, float]) -> None:
        """Take groups of parameters, each with its weight decay; parameters are on a device by now."""
        self.parameters = [parameter for members, _ in groups for parameter in members]
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._groups = groups
        self._betas = betas

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move every parameter that has a gradient."""
        for members, weight_decay in self._groups:
            gradients = {parameter: parameter.grad for parameter in members if parameter.grad is not None}
            states = [self.state.setdefault(parameter, _fresh(parameter)) for parameter in gradients]
            adamw(
                list(gradients),
                list(gradients.values()),
                exp_avgs=[state["exp_avg"] for state in states],
                exp_avg_sqs=[state["exp_avg_sq"] for state in states],
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
    """Return what is remembered of a parameter before its first step."""
    return {
        "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }
