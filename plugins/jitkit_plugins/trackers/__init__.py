"""Trackers: where the numbers of a run go besides `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Sequence

from jitkit.component import Component
from jitkit.hookspecs import hookimpl


@hookimpl
def jitkit_trackers() -> Sequence[type[Component]]:
    """Offer `csv` and `tensorboard`."""
    from jitkit_plugins.trackers.csv import CsvTracker
    from jitkit_plugins.trackers.tensorboard import TensorboardTracker

    return [CsvTracker, TensorboardTracker]
