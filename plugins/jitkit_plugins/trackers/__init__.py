"""Built-in trackers, which log metrics in addition to `metrics.jsonl`."""

import jitkit


@jitkit.hookimpl
def jitkit_trackers() -> list[type]:
    """Provide `csv`, `mlflow`, `tensorboard`, `trackio` and `wandb`."""
    from jitkit_plugins.trackers.csv import CsvTracker
    from jitkit_plugins.trackers.mlflow import MlflowTracker
    from jitkit_plugins.trackers.tensorboard import TensorboardTracker
    from jitkit_plugins.trackers.trackio import TrackioTracker
    from jitkit_plugins.trackers.wandb import WandbTracker

    return [CsvTracker, TensorboardTracker, WandbTracker, TrackioTracker, MlflowTracker]
