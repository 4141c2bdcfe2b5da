"""MLflow."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from jitkit.protocols import TrackedSample
from jitkit.report.tracked_run import TrackedRun
from jitkit_plugins.trackers.extra import imported
from jitkit_plugins.trackers.service import LOSS, VALIDATION_LOSS, ServiceComponent, ServiceTracker, pictures

INTERVAL = 1.0  # seconds between requests, which training waits for
MAX_METRICS, MAX_PARAMS, MAX_LENGTH = 1000, 100, 6000  # of a request, and characters of a parameter
GONE = "RESOURCE_DOES_NOT_EXIST"


class MlflowTracker(ServiceComponent):
    """Log to the store in `MLFLOW_TRACKING_URI`, by default `mlflow.db` in the current folder (needs the `mlflow` extra)."""

    name: ClassVar[str] = "mlflow"

    def build(self, folder: Path) -> MlflowRun:
        """Start a run of MLflow, or continue the one of this folder. Raises ResourceError if MLflow is not installed."""
        mlflow, run = imported("mlflow", self.name), TrackedRun.read(folder)
        client = mlflow.MlflowClient()
        record = _continued(mlflow, client, run.record(self.name))
        if record is None:
            experiment = mlflow.set_experiment(
                self.project_of(run, "MLFLOW_EXPERIMENT_NAME") or os.environ["MLFLOW_EXPERIMENT_NAME"]
            )
            record = client.create_run(experiment.experiment_id, run_name=self.name_of(run)).info.run_id
            for params in _in_parts([*_params(mlflow, run.settings)], MAX_PARAMS):
                client.log_batch(record, params=params)
        client.log_text(record, run.manifest, "manifest.toml")
        run.remember(self.name, record)
        tracker = MlflowRun(mlflow, client, record, run)
        tracker.catch_up()
        return tracker


class MlflowRun(ServiceTracker):
    """An open run. Numbers are collected and sent once a second."""

    def __init__(self, mlflow: Any, client: Any, record: str, run: TrackedRun) -> None:
        super().__init__(run, {name: _last_step(client, record, name) for name in (LOSS, VALIDATION_LOSS)})
        self._mlflow, self._client, self._record = mlflow, client, record
        self._waiting: list[Any] = []
        self._sent = time.monotonic()

    def send(self, step: int, values: Mapping[str, float]) -> None:
        """Collect numbers, and send them if it is time."""
        now, metric = int(time.time() * 1000), self._mlflow.entities.Metric
        self._waiting += [metric(name, value, now, step) for name, value in values.items()]
        if time.monotonic() - self._sent >= INTERVAL:
            self._flush()

    def send_samples(self, step: int, samples: Sequence[TrackedSample]) -> None:
        """Write a text file and a picture or two for each sample. They replace those of an earlier time at this step."""
        self._flush()
        place = f"samples/step-{step:08d}"
        for sample in samples:
            self._client.log_text(self._record, sample.text, f"{place}/text/seed-{sample.seed}.txt")
        for name, picture in pictures(samples).items():
            self._client.log_image(self._record, picture, artifact_file=f"{place}/{name}.png")

    def close(self) -> None:
        """Send what is left, and end the run."""
        self._flush()
        self._client.set_terminated(self._record)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for metrics in _in_parts(waiting, MAX_METRICS):
            self._client.log_batch(self._record, metrics=metrics)
        self._sent = time.monotonic()


def _continued(mlflow: Any, client: Any, record: str | None) -> str | None:
    """Return the record, running again; None if there is none, or it has been deleted."""
    if record is None:
        return None
    try:
        client.update_run(record, status="RUNNING")
    except mlflow.MlflowException as error:
        if error.error_code != GONE:
            raise
        return None
    return record


def _last_step(client: Any, record: str, name: str) -> int:
    return max((metric.step for metric in client.get_metric_history(record, name)), default=-1)


def _params(mlflow: Any, table: Mapping[str, Any], prefix: str = "") -> Iterator[Any]:
    """Yield the values of nested tables as parameters `table.key`."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _params(mlflow, value, f"{prefix}{key}.")
        else:
            yield mlflow.entities.Param(f"{prefix}{key}", str(value)[:MAX_LENGTH])


def _in_parts(entries: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (entries[start : start + size] for start in range(0, len(entries), size))
