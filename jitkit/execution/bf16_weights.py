"""bfloat16 copies of weights, shared by all forward passes until the weights change.

`torch.autocast` copies every weight of a matrix product in each forward pass. Here a training step of several passes
(accumulation, self-conditioning) makes the copies once, and so does sampling as a whole. Values equal those of autocast bit
for bit. Gradients are accumulated in the float32 weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


class Bf16WeightCache:
    """bfloat16 copies of some weights of a network."""

    def __init__(self, network: nn.Module, names: set[str]) -> None:
        self._masters = {name: value for name, value in network.named_parameters() if name in names}
        # Created outside inference mode: copies from inside could not be used in training later.
        with torch.inference_mode(False), torch.no_grad():
            self._copies = {name: value.to(torch.bfloat16) for name, value in self._masters.items()}
        self._versions = {name: _version(value) for name, value in self._masters.items()}
        # A GPU converts all gradients in one call, at the end. A CPU converts each one as soon as it is ready.
        on_gpu = any(value.is_cuda for value in self._masters.values())
        self._groups = [list(self._masters)] if on_gpu else [[name] for name in self._masters]

    def current(self) -> dict[str, Tensor]:
        """Return the copies by name, after updating those of changed weights. Gradients flow to the weights."""
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
        for names in self._groups:
            masters, copies = ([of[name] for name in names] for of in (self._masters, self._copies))
            found.update(zip(names, _UseCopies.apply(*masters, *copies), strict=True))  # type: ignore[no-untyped-call]
        return found


def _version(weight: Tensor) -> int | None:
    """Return a number that grows with each change of a weight; None for tensors of inference mode, which have none."""
    return None if weight.is_inference() else weight._version


class _UseCopies(torch.autograd.Function):
    """Replaces weights (the first half of the arguments) by their copies, and converts gradients back to float32."""

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
    """Records which weights enter only matrix products while a network runs under autocast.

    A layer that turns autocast off to compute in float32 (a head, for example) does not count as a matrix product.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        super().__init__()
        self._names = {id(value): name for name, value in network.named_parameters()}
        self._device = device.type
        self._in_products: set[str] = set()
        self._elsewhere: set[str] = set()

    @property
    def names(self) -> set[str]:
        """The names of weights that bfloat16 copies can replace."""
        return self._in_products - self._elsewhere

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        is_product = func is F.linear and torch.is_autocast_enabled(self._device)
        used = {self._names[id(value)] for value in tree_leaves((args, kwargs)) if id(value) in self._names}
        (self._in_products if is_product else self._elsewhere).update(used)
        return func(*args, **(kwargs or {}))
