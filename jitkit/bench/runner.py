"""Measures the sections of a benchmark, one after another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from jitkit.bench.ceiling import Ceiling
from jitkit.bench.sections import (
    measure_checkpoint,
    measure_codec,
    measure_data,
    measure_memory,
    measure_sampling,
    measure_startup,
)
from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.training import measure_training
from jitkit.checkpoints.format import versions_in_use
from jitkit.discovery.loader import PluginManager

Section = dict[str, Any]
SECTIONS = ("ceiling", "training", "memory", "data", "codec", "checkpoint", "startup", "sampling")


def required_sections(only: Collection[str]) -> set[str]:
    """Return the sections of `only` and those that they depend on."""
    required = set(only)
    if required & {"data", "memory"}:
        required.add("training")
    if required & {"training", "sampling"}:
        required.add("ceiling")
    return required


def measure(
    target: BenchmarkTarget,
    manager: PluginManager,
    note: Callable[[str], None],
    only: Collection[str] = SECTIONS,
) -> Iterator[tuple[str, Section]]:
    """Yield the name and values of each required section as soon as they are known.

    Training comes early, so that peak memory is its own.
    """
    required, training = required_sections(only), Section()
    if "ceiling" in required:
        ceiling = Ceiling.of(target)
    if "training" in required:
        training = measure_training(target, ceiling)
        yield "training", training
        yield "memory", dict(measure_memory(target))
    if "ceiling" in required:
        yield "ceiling", ceiling.as_json()
    if "data" in required:
        yield "data", measure_data(target, manager, step_seconds=float(training["step_seconds"]))
    if "codec" in required:
        yield "codec", measure_codec(target)
    if "checkpoint" in required:
        yield "checkpoint", measure_checkpoint(target, manager, versions_in_use(manager))
    if "startup" in required:
        yield "startup", measure_startup()
    if "sampling" in required:
        yield "sampling", measure_sampling(target, ceiling, note)
