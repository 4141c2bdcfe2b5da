"""What the machine can do at all: products of matrices of the model's shapes, and copying memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.timing import Spread, as_json, repeated, repeatedly
from jitkit.execution.device import seconds

MOST_SHAPES = 3
COPIED = 2**27  # bytes, more than most caches hold
AT_ONCE = 20  # products and copies that a GPU does between two looks at the clock: one takes no longer than a look
PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}
LOOK = 0.02  # seconds of products before and after what is held against them

Shape = tuple[int, int, int]  # rows, inputs, outputs
T = TypeVar("T")


@dataclass(frozen=True)
class Ceiling:
    """FLOP/s of the fastest of the network's matrix products, in each precision that the device knows."""

    device: torch.device
    shapes: list[Shape]
    rates: dict[str, Spread]
    fastest: dict[str, Shape]

    @classmethod
    def of(cls, target: BenchmarkTarget) -> Ceiling:
        """Measure it."""
        shapes, device = product_shapes(target), target.device
        rates, fastest = {}, {}
        for name, dtype in PRECISIONS.items():
            try:
                found = {shape: _rate(shape, dtype, device) for shape in shapes}
            except RuntimeError:
                continue
            fastest[name] = max(shapes, key=lambda shape: found[shape].median)
            rates[name] = found[fastest[name]]
        return cls(device, shapes, rates, fastest)

    def as_json(self) -> dict[str, object]:
        """Return it, and bytes/s read and written, as the section `ceiling`."""
        flops = {f"{name}_flops": rate for name, rate in self.rates.items()}
        return as_json(**flops, bandwidth=_bandwidth(self.device)) | {"shapes": [list(shape) for shape in self.shapes]}

    def beside(self, measure: Callable[[], T], precision: str) -> list[tuple[T, float]]:
        """Return what `measure` says, several times, and the FLOP/s of the fastest product just before and after, on average.

        What shares a machine comes and goes: a ceiling of another moment would say nothing of this one.
        """
        shape, dtype = self.fastest[precision], PRECISIONS[precision]
        product = _product(shape, dtype, self.device)
        times = max(1, math.ceil(LOOK * self.rates[precision].median / _flops(shape)))

        def products() -> None:
            for _ in range(times):
                product()

        def now() -> float:
            products()  # what was measured has left other things in the caches
            return times * _flops(shape) / seconds(products, self.device)

        def once() -> tuple[T, float]:
            before, found = now(), measure()
            return found, (before + now()) / 2

        return repeatedly(once)


def shares(flops: float, against: list[tuple[float, float]]) -> dict[str, Spread]:
    """Return the FLOP/s of what does `flops` in so many seconds, and its share of the ceiling that was measured beside it."""
    return {
        "flops": Spread.of([flops / taken for taken, _ in against]),
        "ceiling_flops": Spread.of([most for _, most in against]),
        "share_of_ceiling": Spread.of([flops / taken / most for taken, most in against]),
    }


def _bandwidth(device: torch.device) -> Spread:
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    return _often(lambda: target.copy_(source), device).per(2 * COPIED)


def product_shapes(target: BenchmarkTarget) -> list[Shape]:
    """Return the shapes of the products that the network's linear layers make of one part of a training batch.

    Only the largest few: what is too small to fill the machine says nothing of what it can do. A network without linear
    layers is held against products of 1,024 x 1,024.
    """
    shapes: set[Shape] = set()

    def look(layer: nn.Module, inputs: tuple[Tensor, ...], _: object) -> None:
        assert isinstance(layer, nn.Linear)
        shapes.add((inputs[0].numel() // layer.in_features, layer.in_features, layer.out_features))

    layers = [module for module in target.pipeline.network.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(look) for layer in layers]
    part, _ = next(target.batch(0).parts(target.components.manifest.train.accumulate))
    try:
        with torch.inference_mode():
            target.pipeline.network(part.z, part.t)
    finally:
        for hook in hooks:
            hook.remove()
    by_work = sorted(shapes, key=_flops, reverse=True)
    return by_work[:MOST_SHAPES] or [(1024, 1024, 1024)]


def _rate(shape: Shape, dtype: torch.dtype, device: torch.device) -> Spread:
    return _often(_product(shape, dtype, device), device).per(_flops(shape))


def _product(shape: Shape, dtype: torch.dtype, device: torch.device) -> Callable[[], object]:
    rows, inputs, outputs = shape
    left, right = (_numbers(size, dtype, device) for size in ((rows, inputs), (inputs, outputs)))
    return partial(torch.mm, left, right)


def _numbers(size: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return numbers as a network has them: a GPU multiplies those that are all alike at less power, and faster."""
    return torch.randn(size, generator=torch.Generator(device).manual_seed(0), device=device).to(dtype)


def _often(action: Callable[[], object], device: torch.device) -> Spread:
    """Return seconds of an action that may be short."""
    times = 1 if device.type == "cpu" else AT_ONCE

    def act() -> None:
        for _ in range(times):
            action()

    return repeated(act, device).over(times)


def _flops(shape: Shape) -> int:
    rows, inputs, outputs = shape
    return 2 * rows * inputs * outputs
