"""`jitkit ablate` as a process: what it prints, its signals, its exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from jitkit.ablation.grid import Grid
from tests.core.ablation.conftest import GRID
from tests.core.cli.conftest import ENVIRONMENT, JITKIT, run
from tests.training_lab import RECIPE

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe, a text and a grid, the working directory."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 16)
    (tmp_path / "grid.toml").write_text(GRID)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(ENVIRONMENT, "JITKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_dry_run_estimates_and_writes_nothing(place: Path) -> None:
    done = run("ablate", "grid.toml", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [cell["cell"] for cell in document["cells"]] == ["train.lr=0.001", "train.lr=0.01"]
    assert document["runs"] == 4
    assert document["steps"] == 2 * sum(cell["steps"] for cell in document["cells"])
    assert document["flops"] == 2 * sum(cell["flops"] for cell in document["cells"]) > 0
    assert not (place / "run").exists()


def test_ctrl_c_saves_and_the_same_command_continues(place: Path) -> None:
    long = GRID.replace("train.epochs=1", "train.max_steps=400")
    (place / "grid.toml").write_text(long)
    process = subprocess.Popen(
        [JITKIT, "ablate", "grid.toml"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    log, limit = place / "run/grid/train.lr=0.001/seed-1/metrics.jsonl", time.monotonic() + 60
    while process.poll() is None and time.monotonic() < limit and not (log.exists() and log.stat().st_size):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "stopped in run 1 of 4 (train.lr=0.001, seed 1)" in said.splitlines()[-1]
    assert list(log.parent.glob("checkpoint_*.pth"))

    refused = run("ablate", "grid.toml", "--data", "tiny.toml")
    assert refused.returncode == 3, "a manifest is no text, and no grammar"
    (place / "grid.toml").write_text(GRID)
    changed = run("ablate", "grid.toml")
    assert changed.returncode == 2
    assert changed.stderr.count(": error: ") == 1, changed.stderr
    assert "--accept-changes" in changed.stderr
    done = run("ablate", "grid.toml", "--accept-changes", "--json")
    assert done.returncode == 0, done.stderr
    assert all(set(row["seeds"].values()) == {"trained"} for row in json.loads(done.stdout)["rows"])


def test_the_schema_needs_no_grid(place: Path) -> None:
    done = run("ablate", "--schema")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["properties"]) == set(Grid.model_fields)


def test_an_unknown_key_is_one_line_with_a_suggestion(place: Path) -> None:
    (place / "grid.toml").write_text(GRID.replace('"train.lr" =', '"train.lrr" ='))
    done = run("ablate", "grid.toml")
    assert done.returncode == 3
    assert done.stderr.startswith("jitkit: error: grid.toml:9: cell train.lrr=0.001: train.lrr: found an unknown key")
    assert done.stderr.count("\n") == 1
    assert "Did you mean lr?" in done.stderr
