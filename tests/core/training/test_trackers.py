"""What a run does with its trackers: options, failures, missing packages, and several processes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from jitkit import hookimpl
from jitkit.component import Component
from jitkit.errors import ManifestError, ResourceError, Stopped
from jitkit.protocols import TrackedSample
from jitkit.storage.png import parse_picture
from tests.training_lab import Lab, metrics


class Listening(Component):
    """A tracker that remembers everything, and fails on request."""

    name: ClassVar[str] = "listening"
    heard: ClassVar[list[tuple[object, ...]]] = []

    fails: str = Field("", description="the method that fails")
    stopped: bool = Field(False, description="whether a second signal arrives while it is closed")

    def build(self, folder: Path) -> Listening:
        self._hear("build", folder.name)
        return self

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._hear("log", step, dict(values))

    def log_samples(self, step: int, samples: Sequence[TrackedSample]) -> None:
        self._hear("log_samples", step, list(samples))

    def close(self) -> None:
        self._hear("close")

    def _hear(self, *call: object) -> None:
        self.heard.append(call)
        if call[0] == self.fails:
            raise OSError("the network is down\nand a second line")
        if call[0] == "close" and self.stopped:
            raise Stopped(signal.SIGINT, "")


class Plugin:
    @hookimpl
    def jitkit_trackers(self) -> list[type[Component]]:
        return [Listening]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    Listening.heard.clear()
    return Lab(tmp_path)


def train(lab: Lab, fails: str = "") -> None:
    lab.train("run", f'train.trackers=["csv", {{use="listening", fails="{fails}"}}]', plugins=(Plugin(),))


def test_a_tracker_gets_every_line_and_the_samples_of_each_validation(lab: Lab) -> None:
    train(lab)
    assert [call[0] for call in Listening.heard if call[0] in {"build", "close"}] == ["build", "close"]
    lines = [call[2] for call in Listening.heard if call[0] == "log"]
    assert [{k: v for k, v in line.items() if k not in {"seconds", "tokens_per_second"}} for line in lines] == metrics(
        lab.home / "run"
    )
    samples = {call[1]: call[2] for call in Listening.heard if call[0] == "log_samples"}
    assert [*samples] == [6, 11, 16]
    for each in samples.values():
        assert [sample.seed for sample in each] == [0, 1, 2]
        assert [sample.film_strip is not None for sample in each] == [True, False, False]
        assert {parse_picture(sample.picture, height=200, file="", expected="").shape for sample in each} == {
            (200, 200, 3)
        }


@pytest.mark.parametrize("fails", ["build", "log", "log_samples", "close"])
def test_a_tracker_that_fails_is_closed_with_one_warning_and_the_others_go_on(lab: Lab, fails: str) -> None:
    train(lab, fails)
    output = lab.output()
    warning = "warning: tracker listening: OSError: the network is down (it is off now; training continues)"
    assert output.count(warning) == output.count("tracker listening") == 1
    assert "second line" not in output
    calls = [call[0] for call in Listening.heard]
    assert calls.count(fails) == (2 if fails == "close" else 1)
    assert calls[-1] == ("build" if fails == "build" else "close")
    assert metrics(lab.home / "run")[-1]["step"] == 16
    assert (lab.home / "run" / "metrics.csv").read_text().count(",loss,") == 16


def test_a_second_signal_stops_a_run_whose_failed_tracker_does_not_close(lab: Lab) -> None:
    with pytest.raises(Stopped):
        lab.train("run", 'train.trackers=[{use="listening", fails="log", stopped=true}]', plugins=(Plugin(),))
    assert [call[0] for call in Listening.heard] == ["build", "log", "close"]


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb", "trackio", "mlflow"])
def test_a_missing_package_is_an_error_that_names_the_extra(
    lab: Lab, tracker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, tracker, None)
    with pytest.raises(ResourceError) as caught:
        lab.train("run", f'train.trackers=["{tracker}"]')
    found = f"train.trackers: found no package {tracker}; expected an installed one, for the tracker `{tracker}`."
    assert str(caught.value) == f"{found} pip install 'jitkit[{tracker}]'"
    assert caught.value.code == 6
    lab.train("run", "train.max_steps=1")  # the folder is still free


def test_a_run_stays_if_the_one_that_replaces_it_lacks_a_package(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.train("run", "train.max_steps=1")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ResourceError, match="no package wandb"):
        lab.train("run", 'train.trackers=["wandb"]', overwrite=True)
    assert (lab.home / "run" / "best_model.pth").exists()


@pytest.mark.parametrize(
    ("trackers", "message"),
    [
        ('[{use="wandb", projct="x"}]', "an unknown key. Did you mean project?"),
        ('[{use="wandb", project=3}]', "train.trackers.project: found 3; expected a string"),
        ('[{use="wnadb"}]', "Did you mean wandb?"),
        ('[{project="x"}]', "train.trackers[0].use: found nothing; expected a value for use"),
        ("[3]", "train.trackers[0]: found 3; expected a string"),
    ],
)
def test_invalid_options_are_errors(lab: Lab, trackers: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        lab.train("run", f"train.trackers={trackers}")
    assert message in str(caught.value)
