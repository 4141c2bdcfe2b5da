"""What the machine can do at all: products of matrices of the model's shapes, and copying memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from jitkit.bench.subject import Subject
from jitkit.bench.timing import Spread, as_json, repeated

MOST_SHAPES = 3
COPIED = 2**27  # bytes, more than most caches hold
AT_ONCE = 20  # products and copies that a GPU does between two looks at the clock: one takes no longer than a look
PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}

Shape = tuple[int, int, int]  # rows, inputs, outputs


def measure_ceiling(subject: Subject) -> dict[str, object]:
    """Return FLOP/s of the fastest of the network's matrix products in each precision, and bytes/s read and written.

    A precision that the device does not know is left out.
    """
    shapes = product_shapes(subject)
    found: dict[str, Spread | float | str] = {}
    for name, dtype in PRECISIONS.items():
        try:
            rates = [_rate(shape, dtype, subject.device) for shape in shapes]
        except RuntimeError:
            continue
        found[f"{name}_flops"] = max(rates, key=lambda rate: rate.median)
    source = torch.ones(COPIED // 4, device=subject.device)
    target = torch.empty_like(source)
    found["bandwidth"] = _often(lambda: target.copy_(source), subject.device).per(2 * COPIED)
    return as_json(**found) | {"shapes": [list(shape) for shape in shapes]}


def product_shapes(subject: Subject) -> list[Shape]:
    """Return the shapes of the products that the network's linear layers make of one part of a training batch.

    Only the largest few: what is too small to fill the machine says nothing of what it can do. A network without linear
    layers is held against products of 1,024 x 1,024.
    """
    shapes: set[Shape] = set()

    def look(layer: nn.Module, inputs: tuple[Tensor, ...], _: object) -> None:
        assert isinstance(layer, nn.Linear)
        shapes.add((inputs[0].numel() // layer.in_features, layer.in_features, layer.out_features))

    layers = [module for module in subject.pipeline.network.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(look) for layer in layers]
    part, _ = next(subject.batch(0).parts(subject.components.manifest.train.accumulate))
    try:
        with torch.inference_mode():
            subject.pipeline.network(part.z, part.t)
    finally:
        for hook in hooks:
            hook.remove()
    by_work = sorted(shapes, key=_flops, reverse=True)
    return by_work[:MOST_SHAPES] or [(1024, 1024, 1024)]


def _rate(shape: Shape, dtype: torch.dtype, device: torch.device) -> Spread:
    rows, inputs, outputs = shape
    left, right = (_numbers(size, dtype, device) for size in ((rows, inputs), (inputs, outputs)))
    return _often(partial(torch.mm, left, right), device).per(_flops(shape))


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
