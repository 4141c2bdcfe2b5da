"""Exponential moving averages of the weights, for several decays at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from jitkit.errors import InputError
from jitkit.parallel.sharding import local, sharded_like
from jitkit.storage.weights import require_fit

StateDict = dict[str, Tensor]


def decay_at(step: int, decay: float) -> float:
    """Return the decay of update `step` (from 1): ``min(decay, (1 + n) / (10 + n))`` with n = step.

    The warm-up lets short runs forget their random start. A decay of 0.999 is in full effect after 9,000 steps.
    """
    return min(decay, (1 + step) / (10 + step))


class Averages:
    """Averaged copies of a network's state dict. `states` maps each decay, as a string, to a state dict.

    Integer buffers are copied. Validation uses the first average.
    """

    def __init__(self, network: nn.Module, decays: Sequence[float]) -> None:
        self.decays = {str(decay): decay for decay in decays}
        self.states: dict[str, StateDict] = {
            key: {name: value.detach().clone() for name, value in network.state_dict().items()} for key in self.decays
        }
        self.is_whole = True  # false while weights and average are being swapped

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Update the averages after optimizer step `step` (from 1)."""
        current = network.state_dict()
        smooth = [name for name, value in current.items() if value.is_floating_point()]
        for key, decay in self.decays.items():
            average = self.states[key]
            torch._foreach_lerp_(
                [local(average[name]) for name in smooth],
                [local(current[name]) for name in smooth],
                1 - decay_at(step, decay),
            )
            for name in current.keys() - set(smooth):
                average[name].copy_(current[name])

    def state_dict(self) -> dict[str, StateDict]:
        """Return the averages by decay. Tensors are shared, not copied."""
        return {key: dict(state) for key, state in self.states.items()}

    def require_fit(self, states: Mapping[str, Mapping[str, Tensor]], *, file: object = None) -> None:
        """Raise InputError if decays, names, shapes, or dtypes differ from ours, or if a value is not finite."""
        if list(states) != list(self.decays):
            found = f"averages of decay {', '.join(states) or 'none'}"
            expected = f"the decays of train.ema: {', '.join(self.decays) or 'none'}"
            raise InputError(found, expected, file=file, field="ema_state_dict")
        require_fit(_flat(self.states), _flat(states), file=file)

    def load_state_dict(self, states: Mapping[str, Mapping[str, Tensor]], *, file: object = None) -> None:
        """Copy what `state_dict` returned. Raises InputError as `require_fit`."""
        self.require_fit(states, file=file)
        for key, state in self.states.items():
            for name, value in state.items():
                value.copy_(sharded_like(states[key][name], value))

    @contextmanager
    def ema_scope(self, network: nn.Module) -> Iterator[None]:
        """Inside the block, `network` has the first average; afterwards it has its own weights again, bit for bit.

        Without averages, it keeps its own weights.
        """
        average = next(iter(self.states.values()), {})
        self._swap(network, average)
        try:
            yield
        finally:
            self._swap(network, average)

    def _swap(self, network: nn.Module, average: StateDict) -> None:
        self.is_whole = False
        _swap(network, average)
        self.is_whole = True


def _flat(states: Mapping[str, Mapping[str, Tensor]]) -> StateDict:
    return {f"ema_state_dict.{key}.{name}": value for key, state in states.items() for name, value in state.items()}


@torch.no_grad()
def _swap(network: nn.Module, state: StateDict) -> None:
    """Swap the values of two states in place, so that optimizer and compiled code keep the same parameters."""
    current = network.state_dict()
    for name, value in state.items():
        saved = current[name].clone()
        current[name].copy_(value)
        value.copy_(saved)
