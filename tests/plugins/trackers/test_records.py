"""The records of a run at each service after a kill, a return to an earlier checkpoint, and a stop."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.extras import need
from tests.plugins.trackers.records import PICTURES, SERVICES, Number, Record

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # warnings of the libraries
TIMES = {"seconds", "validation_seconds", "tokens_per_second"}


def logged(run: Path) -> list[Number]:
    """Return the numbers of `metrics.jsonl` under the names that trackers use."""
    found = []
    for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        validates = "validation_loss" in line
        names = {"seconds": "validation_seconds"} if validates else {}
        left_out = {"step", "epoch"} if validates else {"step"}
        found += [(line["step"], names.get(name, name), value) for name, value in line.items() if name not in left_out]
    return found


def train(*trackers: str, code: int, **request: Any) -> str:
    """Train in another process in the current folder, and return what it prints."""
    overrides = [f"train.trackers={json.dumps(trackers)}", *request.pop("overrides", ())]
    command = [sys.executable, "-m", "tests.plugins.trackers.train", json.dumps({"overrides": overrides, **request})]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder whose run was killed after step 8, stopped after step 14, taken back to step 11, and finished."""
    home = tmp_path_factory.mktemp("home")
    trackers = [name for name in SERVICES if importlib.util.find_spec(name)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("PYTHONWARNINGS", "default")  # the libraries use deprecated functions
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("TRACKIO_DIR", str(home / "trackio"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
        printed = train(*trackers, code=-signal.SIGKILL, stop=8, number=signal.SIGKILL)
        printed += train(*trackers, code=1, stop=14, number=signal.SIGTERM, resume="auto")
        printed += train(*trackers, code=0, resume="run/checkpoint_epoch_2.pth")
        assert "warning: tracker" not in printed
        yield home / "run"


@pytest.fixture(scope="module", params=SERVICES)
def record(request: pytest.FixtureRequest, run: Path) -> Record:
    """Return the record of the run at a service."""
    need(request.param)
    return SERVICES[request.param](run, request.param)


def test_a_record_has_the_numbers_of_the_log(record: Record, run: Path) -> None:
    found, expected = record.numbers(), logged(run)
    entries = Counter((step, key) for step, key, _ in found)
    assert entries.keys() == {(step, key) for step, key, _ in expected}
    assert not [entry for entry, number in entries.items() if number > 1]
    values = {(step, key): value for step, key, value in expected if key not in TIMES}
    assert {(step, key): value for step, key, value in found if key not in TIMES} == pytest.approx(values, rel=1e-6)


def test_a_record_has_the_samples_and_the_manifest(record: Record, run: Path) -> None:
    assert record.pictures() == {key: Counter([6, 11, 16]) for key in PICTURES}
    gallery = json.loads((run / "gallery.json").read_text())
    texts = ["".join(piece["text"] for piece in sample["pieces"]) for sample in gallery["samples"]]
    assert [text.strip() for text in record.texts(16)] == [text.strip() for text in texts]
    assert tomllib.loads(record.manifest())["id"] == "tiny"
    assert record.settings() == "16"


def test_a_run_goes_on_without_account_and_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("wandb")
    need("mlflow")
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "PYTHONWARNINGS": "default",
        "HOME": str(tmp_path),  # without a .netrc
        "WANDB_MODE": "online",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    printed = train("wandb", "mlflow", code=0)
    assert printed.count("warning: tracker wandb: UsageError: No API key configured") == 1
    assert printed.count("warning: tracker mlflow: MlflowException: API request") == 1
    assert [line for line in logged(tmp_path / "run") if line[:2] == (16, "loss")]


READER = """
import signal, sys, wandb
from pathlib import Path
from jitkit_plugins.trackers.wandb import _rows

run = wandb.init(mode="offline", dir=sys.argv[1], settings={"console": "off"})
run.log({"loss": 1.0})
run.finish()
stops = []
signal.signal(signal.SIGINT, lambda number, frame: stops.append(number))
Path(sys.argv[1], "ready").touch()
rows = [*_rows(next(Path(sys.argv[1]).glob("wandb/offline-run-*/*.wandb")))]
signal.signal(signal.SIGINT, signal.SIG_IGN)
print(len(rows), len(stops) > 0)
"""


def test_ctrl_c_reaches_training_and_not_the_reader_of_offline_records(tmp_path: Path) -> None:
    need("wandb")
    command = [sys.executable, "-c", READER, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.01)
    while process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the session
        time.sleep(0.05)
    assert process.communicate()[0].splitlines()[-1] == "1 True"
