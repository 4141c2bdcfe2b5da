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


class Bf16WeightCache:
    """Memorization of some weights of a network."""

    def __init__(self, network: nn.Module, names: set[str]) -> None:
        self._masters = {name: value for name, value in network.named_parameters() if name in names}
        # made for any later mode: a copy made in inference mode could not take part in training
        with torch.inference_mode(False), torch.no_grad():
            self._copies = {name: value.to(torch.bfloat16) for name, value in self._masters.items()}
        self._versions = {name: _version(value) for name, value in self._masters.items()}
        # A GPU is told of all at once, for which gradients wait for each other; a CPU widens each as it comes.
        on_gpu = any(value.is_cuda for value in self._masters.values())
        self._together = [list(self._masters)] if on_gpu else [[name] for name in self._masters]

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
        found: dict[str, Tensor] = {}
        for names in self._together:
            masters, copies = ([of[name] for name in names] for of in (self._masters, self._copies))
            found.update(zip(names, _Copied.apply(*masters, *copies), strict=True))  # type: ignore[no-untyped-call]
        return found


def _version(weight: Tensor) -> int | None:
    """Return a number that rises with each change of a weight; None where none is kept: made in inference mode."""
    return None if weight.is_inference() else weight._version


class _Copied(torch.autograd.Function):
    """Memorization in place of weights (half the arguments each), and the gradients of the copies, widened, as those of the weights."""

    @staticmethod
    def forward(ctx: Any, *masters_and_copies: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        return tuple(copy.detach() for copy in masters_and_copies[len(masters_and_copies) // 2 :])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ARG004
        given = [gradient for gradient in gradients if gradient is not None]
        wide = [torch.empty_like(gradient, dtype=torch.float32) for gradient in given]
        if given:
            torch._foreach_copy_(wide, given)
        widened = iter(wide)
        return (*(None if gradient is None else next(widened) for gradient in gradients), *(None for _ in gradients))


class AutocastTracer(TorchFunctionMode):
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
