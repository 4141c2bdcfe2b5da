"""One thing after the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from jitkit.bench.ceiling import Ceiling
from jitkit.bench.data import measure_codec, measure_data
from jitkit.bench.memory import measure_memory
from jitkit.bench.sampling import measure_sampling
from jitkit.bench.startup import measure_startup
from jitkit.bench.storage import measure_checkpoint
from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.training import measure_training
from jitkit.checkpoints.format import versions_in_use
from jitkit.discovery.loader import PluginManager

Section = dict[str, Any]
SECTIONS = ("ceiling", "training", "memory", "data", "codec", "checkpoint", "startup", "sampling")


def measure(
    target: BenchmarkTarget, manager: PluginManager, only: Collection[str] = SECTIONS
) -> Iterator[tuple[str, Section]]:
    """Yield the name of a section of the document and its values, as soon as they are known.

    Of `only` those sections, and what they are a share of. Training comes early, so that the peak of memory is its own.
    """
    wanted = set(only)
    if wanted & {"data", "memory"}:
        wanted.add("training")
    if wanted & {"training", "sampling"}:
        wanted.add("ceiling")
    training: Section = {}
    if "ceiling" in wanted:
        ceiling = Ceiling.of(target)
    if "training" in wanted:
        training = measure_training(target, ceiling)
        yield "training", training
        yield "memory", measure_memory(target)
    if "ceiling" in wanted:
        yield "ceiling", ceiling.as_json()
    if "data" in wanted:
        yield "data", measure_data(target, manager, step_seconds=float(training["step_seconds"]))
    if "codec" in wanted:
        yield "codec", measure_codec(target)
    if "checkpoint" in wanted:
        yield "checkpoint", measure_checkpoint(target, manager, versions_in_use(manager))
    if "startup" in wanted:
        yield "startup", measure_startup()
    if "sampling" in wanted:
        yield "sampling", measure_sampling(target, ceiling)
