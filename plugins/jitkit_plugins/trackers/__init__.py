"""Built-in trackers, which log metrics in addition to `metrics.jsonl`."""

import jitkit


@jitkit.hookimpl
def jitkit_trackers() -> list[type]:
    """Provide `csv` and `tensorboard`."""
    from jitkit_plugins.trackers.csv import CsvTracker
    from jitkit_plugins.trackers.tensorboard import TensorboardTracker

    return [CsvTracker, TensorboardTracker]
