"""The optimizer of a manifest: AdamW for everything, or Muon for hidden matrices and AdamW for the rest.

Its state is stored by parameter name. Settings come from the manifest and the learning rate is an argument, so neither is
part of the state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from jitkit.errors import InputError, shown
from jitkit.manifest.schema import Train
from jitkit.parallel.sharding import sharded_like
from jitkit.training.optim.adamw import AdamW
from jitkit.training.optim.muon import Muon

# The state of a parameter in each optimizer. "step" is a number; the others have the shape of the parameter.
STATE_KEYS = {"adamw": {"step", "exp_avg", "exp_avg_sq"}, "muon": {"momentum_buffer"}}
NOT_NEGATIVE = {"step", "exp_avg_sq"}

State = dict[str, dict[str, Tensor]]


class Part(Protocol):
    """An optimizer of some of the parameters."""

    parameters: list[Tensor]
    state: dict[Tensor, dict[str, Tensor]]  # by parameter, from its first step on

    def step(self, lr: float) -> None:
        """Update every parameter that has a gradient."""


class Optimizer:
    """One or two optimizers that step together."""

    def __init__(self, names: Mapping[Tensor, str], parts: Mapping[str, Part]) -> None:
        self._names = names
        self._parts = parts

    def step(self, lr: float) -> None:
        """Update every parameter that has a gradient, at learning rate `lr`."""
        for part in self._parts.values():
            part.step(lr)
        torch.autograd.graph.increment_version(self._names)  # fused steps do not count as changes by themselves

    def zero_grad(self) -> None:
        """Delete all gradients."""
        for parameter in self._names:
            parameter.grad = None

    def state_dict(self) -> State:
        """Return the state of each parameter by name; empty before its first step. Tensors are shared."""
        return {self._names[parameter]: dict(part.state.get(parameter, {})) for part, parameter in self._members()}

    def load_state_dict(self, state: Mapping[str, Any], *, file: object = None) -> None:
        """Copy a state that `state_dict` returned for the same network and kind of optimizer.

        Raises InputError for the first parameter whose state does not fit. Nothing is changed then.
        """
        self.require_fit(state, file)
        for part in self._parts.values():
            part.state.clear()
        for part, parameter in self._members():
            if entry := state[self._names[parameter]]:
                part.state[parameter] = {
                    key: sharded_like(value, parameter).clone() if value.ndim else value.to(parameter.device, copy=True)
                    for key, value in entry.items()
                }

    def _members(self) -> Iterable[tuple[Part, Tensor]]:
        for part in self._parts.values():
            for parameter in part.parameters:
                yield part, parameter

    def require_fit(self, state: Mapping[str, Any], file: object = None) -> None:
        """Raise InputError for the first parameter whose state has the wrong form or an impossible value."""
        kinds = {part: kind for kind, part in self._parts.items()}
        expected = {self._names[parameter]: (kinds[part], parameter) for part, parameter in self._members()}
        for name in sorted({*expected, *map(str, state)}):
            field = f"optimizer_state_dict.{name}"
            if name not in state:
                raise InputError("no state of this parameter", "one", file=file, field=field)
            if name not in expected:
                raise InputError("state of an unknown parameter", "a parameter of the network", file=file, field=field)
            kind, parameter = expected[name]
            entry = state[name]
            if not isinstance(entry, dict) or (entry and entry.keys() != STATE_KEYS[kind]):
                expected_keys = f"the state of {kind}: {sorted(STATE_KEYS[kind])}"
                raise InputError(shown(entry), expected_keys, file=file, field=field)
            for key, value in entry.items():
                _require_value(key, value, parameter, file, field)


def build_optimizer(network: nn.Module, train: Train, *, bf16: bool = False) -> Optimizer:
    """Return the optimizer of all parameters of `network` that require a gradient.

    Weight decay applies only to the weights of linear and convolution layers. `bf16` is the precision of Muon's matrix
    products.
    """
    names: dict[Tensor, str] = {value: name for name, value in network.named_parameters() if value.requires_grad}
    hidden, rest = split_parameters(network, train)
    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    matrices = {id(layer.weight) for layer in network.modules() if isinstance(layer, layers)}
    groups = [
        ([value for value in rest if id(value) in matrices], train.weight_decay),
        ([value for value in rest if id(value) not in matrices], 0.0),
    ]
    parts: dict[str, Part] = {"adamw": AdamW(groups, betas=train.betas)}
    if hidden:
        dtype = torch.bfloat16 if bf16 else torch.float32
        parts["muon"] = Muon(hidden, weight_decay=train.weight_decay, dtype=dtype)
    return Optimizer(names, parts)


def num_state_bytes(network: nn.Module, train: Train) -> int:
    """Return the size of the optimizer state for `network`, which may be on the `meta` device."""
    hidden, rest = split_parameters(network, train)
    return sum(value.nbytes for value in hidden) + sum(2 * value.nbytes + 4 for value in rest)


def split_parameters(network: nn.Module, train: Train) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parameters of Muon and those of AdamW.

    Muon gets the weights of linear layers inside a stack (`nn.ModuleList`) of blocks, and AdamW what leads into and out of
    the stack: embeddings, time, head (Jordan et al. 2024).
    """
    stacks = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    linear = [layer for stack in stacks for layer in stack.modules() if isinstance(layer, nn.Linear)]
    hidden = {id(layer.weight) for layer in linear} if train.optimizer == "muon" else set()
    trained: list[Tensor] = [value for value in network.parameters() if value.requires_grad]
    rest = [value for value in trained if id(value) not in hidden]
    return [value for value in trained if id(value) in hidden], rest


def _require_value(key: str, value: Any, parameter: Tensor, file: object, field: str) -> None:
    """Raise InputError if part of a parameter's state has the wrong form or impossible values."""
    shape, dtype = ((), torch.float32) if key == "step" else (tuple(parameter.shape), parameter.dtype)
    if not isinstance(value, Tensor) or value.shape != shape or value.dtype != dtype:
        raise InputError(shown(value), f"{key} of shape {shape} and {dtype}", file=file, field=field)
    lowest, highest = torch.aminmax(value) if value.numel() else (torch.zeros(()), torch.zeros(()))
    if not (math.isfinite(lowest) and math.isfinite(highest)) or (key in NOT_NEGATIVE and lowest < 0):
        found = f"values from {float(lowest):g} to {float(highest):g}"
        expected = "numbers >= 0" if key in NOT_NEGATIVE else "finite numbers"
        raise InputError(found, expected, file=file, field=f"{field}.{key}")
