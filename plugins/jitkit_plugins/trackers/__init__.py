"""Built-in trackers, which log metrics in addition to `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Sequence

import jitkit


@jitkit.hookimpl
def jitkit_trackers() -> Sequence[type[jitkit.Component]]:
    """Provide `csv` and `tensorboard`."""
    from jitkit_plugins.trackers.csv import CsvTracker
    from jitkit_plugins.trackers.tensorboard import TensorboardTracker

    return [CsvTracker, TensorboardTracker]
