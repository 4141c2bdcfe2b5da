"""Conformance tests of metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from jitkit.errors import InputError
from jitkit.evaluation.metric import Metric
from jitkit.evaluation.runner import measure
from jitkit.testing.oracle import oracle_context, tiny_pipeline, tiny_windows


def named_finite_numbers(metric: Metric) -> None:
    """A measurement consists of named finite numbers, or rows of them, and is not empty. It follows from the seed."""
    numbers = _numbers(metric, tiny_windows())
    assert numbers, "the measurement is empty"
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
    with torch.random.fork_rng(()):
        torch.manual_seed(7)
        assert _numbers(metric, tiny_windows()) == numbers, "it depends on torch's global generator"


def order_does_not_matter(metric: Metric) -> None:
    """Neither the order of the windows nor the batch size matters."""
    expected = _numbers(metric, tiny_windows())
    for found in (_numbers(metric, tiny_windows().flip(0)), _numbers(metric, tiny_windows(), batch_size=1)):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert math.isclose(found[key], value, rel_tol=1e-4, abs_tol=1e-6), f"{key}: {found[key]} and {value}"


def empty_input_is_an_error(metric: Metric) -> None:
    """Without windows it raises InputError; with padding only it raises InputError or returns finite numbers."""
    padding = torch.full_like(tiny_windows(2), tiny_pipeline().tokenizer.pad_id)
    try:
        _numbers(metric, tiny_windows()[:0])
    except InputError:
        pass
    else:
        raise AssertionError("it accepts no windows")
    try:
        numbers = _numbers(metric, padding)
    except InputError:
        return
    assert all(math.isfinite(value) for value in numbers.values())


def _numbers(metric: Metric, windows: Tensor, batch_size: int = 4) -> dict[str, float]:
    """Return the numbers for a model that has memorized half of the windows, by row and name."""
    overrides = getattr(metric, "tiny_overrides", ())
    context = oracle_context(windows, remembered=tiny_windows()[::2], batch_size=batch_size, overrides=overrides)
    measurement = measure(context, metric)
    rows = [measurement] if isinstance(measurement, Mapping) else list(measurement)
    return {
        f"{index}.{key}": float(value)
        for index, row in enumerate(rows)
        for key, value in row.items()
        if not isinstance(value, str)
    }
