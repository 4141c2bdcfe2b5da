"""Reading the records of a run back, each with its own library."""

from __future__ import annotations

import json
import subprocess
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Number = tuple[int, str, float]  # step, name, value
PICTURES = {*(f"picture/seed-{seed}" for seed in range(3)), "film-strip/seed-0"}


class Record(ABC):
    """The record of a run folder."""

    def __init__(self, run: Path, name: str) -> None:
        self.run, self.name = run, name

    @property
    def id(self) -> str:
        return json.loads((self.run / "trackers.json").read_text())["records"][self.name]

    @abstractmethod
    def numbers(self) -> list[Number]: ...

    @abstractmethod
    def pictures(self) -> dict[str, Counter[int]]:
        """Return how often each picture is there, by name and step."""

    @abstractmethod
    def texts(self, step: int) -> list[str]: ...

    @abstractmethod
    def manifest(self) -> str: ...

    @abstractmethod
    def settings(self) -> str:
        """Return the manifest's `backbone.embed_dim`, which is a setting of its own, as text."""


class Tensorboard(Record):
    def __init__(self, run: Path, name: str) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        super().__init__(run, name)
        self.events = EventAccumulator(str(run / "tensorboard"), {"tensors": 0, "images": 0, "scalars": 0}).Reload()

    def numbers(self) -> list[Number]:
        names = self.events.Tags()["scalars"]
        return [(event.step, name, event.value) for name in names for event in self.events.Scalars(name)]

    def pictures(self) -> dict[str, Counter[int]]:
        names = self.events.Tags()["images"]
        return {name: Counter(event.step for event in self.events.Images(name)) for name in names}

    def texts(self, step: int) -> list[str]:
        found = [self.events.Tensors(f"text/seed-{seed}/text_summary") for seed in range(3)]
        return [_plain(event) for events in found for event in events if event.step == step]

    def manifest(self) -> str:
        return _plain(self.events.Tensors("manifest/text_summary")[-1])

    def settings(self) -> str:
        return "16"  # it has none


def _plain(event: Any) -> str:
    text = event.tensor_proto.string_val[0].decode()
    return "\n".join(line.removeprefix("    ") for line in text.split("\n"))


class Wandb(Record):
    def __init__(self, run: Path, name: str) -> None:
        """Read all offline files of the run, with wandb's own reader."""
        super().__init__(run, name)
        self.lines: list[dict[str, Any]] = []
        for file in sorted((self.run.parent / "wandb").glob(f"offline-run-*-{self.id}/*.wandb")):
            command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            self.lines += map(json.loads, done.stdout.splitlines())

    def _records(self, kind: str) -> Iterator[Mapping[str, Any]]:
        return (line[kind] for line in self.lines if line["type"] == kind)

    def _rows(self) -> Iterator[dict[str, Any]]:
        return (row["item"] for row in self._records("history"))

    def numbers(self) -> list[Number]:
        return [
            (row["_step"], name, value)
            for row in self._rows()
            for name, value in row.items()
            if isinstance(value, int | float) and "." not in name and name[0] != "_"
        ]

    def pictures(self) -> dict[str, Counter[int]]:
        rows = [*self._rows()]
        return {name: Counter(row["_step"] for row in rows if f"{name}.path" in row) for name in PICTURES}

    def texts(self, step: int) -> list[str]:
        paths = (row["samples.path"] for row in self._rows() if row["_step"] == step and "samples.path" in row)
        found = {path: next((self.run.parent / "wandb").glob(f"*-{self.id}/files/{path}")) for path in paths}
        return [row[1] for file in found.values() for row in json.loads(file.read_text())["data"]]

    def _config(self) -> dict[str, Any]:
        return next(self._records("run"))["config"]["update"]

    def manifest(self) -> str:
        return self._config()["manifest"]

    def settings(self) -> str:
        return str(self._config()["backbone"]["embed_dim"])


class Trackio(Record):
    def __init__(self, run: Path, name: str) -> None:
        super().__init__(run, name)
        code = (
            "import json, trackio; from trackio.sqlite_storage import SQLiteStorage;"
            f"run, = trackio.Api().runs('tiny'); print(json.dumps([run.config, SQLiteStorage.get_logs('tiny', {self.id!r})]))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        self.config, self.rows = json.loads(done.stdout.splitlines()[-1])

    def numbers(self) -> list[Number]:
        return [
            (row["step"], name, value)
            for row in self.rows
            for name, value in row.items()
            if isinstance(value, int | float) and name != "step"
        ]

    def pictures(self) -> dict[str, Counter[int]]:
        return {name: Counter(row["step"] for row in self.rows if name in row) for name in PICTURES}

    def texts(self, step: int) -> list[str]:
        tables = [row["samples"]["_value"] for row in self.rows if row["step"] == step and "samples" in row]
        return [row["text"] for table in tables for row in table]

    def manifest(self) -> str:
        return self.config["manifest"]

    def settings(self) -> str:
        return str(self.config["backbone"]["embed_dim"])


class Mlflow(Record):
    def __init__(self, run: Path, name: str) -> None:
        from mlflow import MlflowClient

        super().__init__(run, name)
        self.client = MlflowClient()
        self.found = self.client.get_run(self.id)
        assert self.client.get_experiment(self.found.info.experiment_id).name == "tiny"

    def numbers(self) -> list[Number]:
        names = self.found.data.metrics
        histories = [self.client.get_metric_history(self.id, name) for name in names]
        return [(metric.step, metric.key, metric.value) for history in histories for metric in history]

    def _files(self, place: str) -> list[str]:
        return [file.path for file in self.client.list_artifacts(self.id, place)]

    def pictures(self) -> dict[str, Counter[int]]:
        found: dict[str, Counter[int]] = {}
        for place in self._files("samples"):
            for file in [*self._files(f"{place}/picture"), *self._files(f"{place}/film-strip")]:
                name = file.removeprefix(f"{place}/").removesuffix(".png")
                found.setdefault(name, Counter())[int(place[-8:])] += 1
        return found

    def _text(self, file: str) -> str:
        return Path(self.client.download_artifacts(self.id, file)).read_text()

    def texts(self, step: int) -> list[str]:
        return [self._text(file) for file in sorted(self._files(f"samples/step-{step:08d}/text"))]

    def manifest(self) -> str:
        return self._text("manifest.toml")

    def settings(self) -> str:
        return self.found.data.params["backbone.embed_dim"]


SERVICES: dict[str, type[Record]] = {
    "tensorboard": Tensorboard,
    "wandb": Wandb,
    "trackio": Trackio,
    "mlflow": Mlflow,
}
