"""What the machine can do: matrix products of the model's shapes, and memory copies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.timing import Spread, as_json, measure_seconds, repeat
from jitkit.execution.device import seconds

MAX_SHAPES = 3
COPY_BYTES = 2**27  # more than most caches hold
GPU_CALLS = 20  # products or copies per measurement on a GPU, where one is as short as reading the clock
PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}
PRODUCT_SECONDS = 0.02  # seconds of products before and after each measurement

Shape = tuple[int, int, int]  # rows, inputs, outputs
T = TypeVar("T")


@dataclass(frozen=True)
class Ceiling:
    """FLOP/s of the fastest of the network's matrix products, in each precision that the device has."""

    device: torch.device
    shapes: list[Shape]
    rates: dict[str, Spread]
    fastest: dict[str, Shape]

    @classmethod
    def of(cls, target: BenchmarkTarget) -> Ceiling:
        """Measure the ceiling."""
        shapes, device = product_shapes(target), target.device
        rates, fastest = {}, {}
        for name, dtype in PRECISIONS.items():
            try:
                products = {shape: _short_seconds(_product(shape, dtype, device), device) for shape in shapes}
            except RuntimeError:
                continue
            found = {shape: taken.rate(product_flops(shape)) for shape, taken in products.items()}
            fastest[name] = max(shapes, key=lambda shape: found[shape].median)
            rates[name] = found[fastest[name]]
        return cls(device, shapes, rates, fastest)

    def as_json(self) -> dict[str, object]:
        """Return the section `ceiling`, including the bytes/s of copies (read and written)."""
        flops = {f"{name}_flops": rate for name, rate in self.rates.items()}
        return as_json(**flops, bandwidth=_bandwidth(self.device)) | {"shapes": [list(shape) for shape in self.shapes]}

    def compare(self, measure: Callable[[], T], precision: str) -> list[tuple[T, float]]:
        """Return several results of `measure`, each with the FLOP/s of the fastest product just before and after it.

        On a shared machine the ceiling changes over time, so one measured at another moment would not be comparable.
        """
        shape, dtype = self.fastest[precision], PRECISIONS[precision]
        product = _product(shape, dtype, self.device)
        times = max(1, math.ceil(PRODUCT_SECONDS * self.rates[precision].median / product_flops(shape)))

        def products() -> None:
            for _ in range(times):
                product()

        def flops() -> float:
            products()  # `measure` has evicted the operands from the caches
            return times * product_flops(shape) / seconds(products, self.device)

        def once() -> tuple[T, float]:
            before, found = flops(), measure()
            return found, (before + flops()) / 2

        return repeat(once)


def ceiling_shares(flops: float, measured: list[tuple[float, float]]) -> dict[str, Spread]:
    """Return the FLOP/s of `flops` operations in each of the measured seconds, and their share of the ceiling with it."""
    return {
        "flops": Spread.of([flops / taken for taken, _ in measured]),
        "ceiling_flops": Spread.of([ceiling for _, ceiling in measured]),
        "share_of_ceiling": Spread.of([flops / taken / ceiling for taken, ceiling in measured]),
    }


def product_shapes(target: BenchmarkTarget) -> list[Shape]:
    """Return the shapes of the largest products that linear layers make of one part of a training batch.

    Small products cannot use the whole machine, so they are left out. A network without linear layers is compared with
    products of 1,024 x 1,024.
    """
    shapes: set[Shape] = set()

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], _: object) -> None:
        assert isinstance(layer, nn.Linear)
        shapes.add((inputs[0].numel() // layer.in_features, layer.in_features, layer.out_features))

    network = target.pipeline.network
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(record) for layer in layers]
    _, images, _ = next(target.setup.batch(0).passes())
    try:
        with torch.inference_mode():
            network(images.z, images.t)
    finally:
        for hook in hooks:
            hook.remove()
    return sorted(shapes, key=product_flops, reverse=True)[:MAX_SHAPES] or [(1024, 1024, 1024)]


def product_flops(shape: Shape) -> int:
    """Return the additions and multiplications of a matrix product."""
    rows, inputs, outputs = shape
    return 2 * rows * inputs * outputs


def _bandwidth(device: torch.device) -> Spread:
    source = torch.ones(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return _short_seconds(lambda: target.copy_(source), device).rate(2 * COPY_BYTES)


def _product(shape: Shape, dtype: torch.dtype, device: torch.device) -> Callable[[], object]:
    """Return a product of random matrices. A GPU multiplies constant ones at less power, and so faster."""
    left, right = (
        torch.randn(size, generator=torch.Generator(device).manual_seed(0), device=device).to(dtype)
        for size in (shape[:2], shape[1:])
    )
    return partial(torch.mm, left, right)


def _short_seconds(action: Callable[[], object], device: torch.device) -> Spread:
    """Return the seconds of an action that may be short."""
    return measure_seconds(action, device, calls=1 if device.type == "cpu" else GPU_CALLS)
