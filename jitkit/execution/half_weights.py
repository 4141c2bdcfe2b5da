"""Weights in bfloat16, copied once for all forward passes between two changes of the weights.

`torch.autocast` copies every weight of a matrix product in each forward pass. Here the copies are kept: a training step of
several passes (accumulation, self-conditioning) makes them once, a whole walk of a sampler once. The numbers are those of
autocast, bit for bit; gradients arrive at the float32 weights and are summed up there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class HalfWeights:
    """Copies of some weights of a network."""

    def __init__(self, network: nn.Module, names: set[str]) -> None:
        self._masters = {name: value for name, value in network.named_parameters() if name in names}
        # made for any later mode: a copy made in inference mode could not take part in training
        with torch.inference_mode(False), torch.no_grad():
            self._copies = {name: value.to(torch.bfloat16) for name, value in self._masters.items()}
        self._versions = {name: _version(value) for name, value in self._masters.items()}

    def current(self) -> dict[str, Tensor]:
        """Return the copies by name, those of weights that have changed made anew; gradients go to the weights."""
        changed = [
            name
            for name, master in self._masters.items()
            if self._versions[name] is None or master._version != self._versions[name]
        ]
        if changed:
            with torch.no_grad():
                torch._foreach_copy_(
                    [self._copies[name] for name in changed], [self._masters[name] for name in changed]
                )
            self._versions.update({name: _version(self._masters[name]) for name in changed})
        if not torch.is_grad_enabled():
            return dict(self._copies)
        return {name: _Copied.apply(master, self._copies[name]) for name, master in self._masters.items()}  # type: ignore[no-untyped-call]


def _version(weight: Tensor) -> int | None:
    """Return a number that rises with each change of a weight; None where none is kept: made in inference mode."""
    return None if weight.is_inference() else weight._version


class _Copied(torch.autograd.Function):
    """The copy in place of the weight, and the gradient of the copy, widened, as that of the weight."""

    @staticmethod
    def forward(ctx: Any, master: Tensor, copy: Tensor) -> Tensor:  # noqa: ARG004
        return copy.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return gradients[0].float(), None


class Watch(TorchFunctionMode):
    """Sees, while a network runs under autocast, which weights enter matrix products there and nothing else.

    A layer that a network keeps in float32 (its head, say) switches autocast off, and so its weights are not named.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        super().__init__()
        self._names = {id(value): name for name, value in network.named_parameters()}
        self._device = device.type
        self._multiplied: set[str] = set()
        self._otherwise: set[str] = set()

    @property
    def names(self) -> set[str]:
        """The names of the weights that bfloat16 copies can stand for."""
        return self._multiplied - self._otherwise

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        product = func is F.linear and torch.is_autocast_enabled(self._device)
        used = {self._names[id(value)] for value in _flat((args, (kwargs or {}).values())) if id(value) in self._names}
        (self._multiplied if product else self._otherwise).update(used)
        return func(*args, **(kwargs or {}))


def _flat(value: Any) -> Iterator[Any]:
    """Yield what is in nested tuples and lists."""
    if isinstance(value, Tensor) or not hasattr(value, "__iter__") or isinstance(value, str):
        yield value
    else:
        for item in value:
            yield from _flat(item)
