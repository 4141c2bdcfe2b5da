"""Whole grids of runs of a second: exact, continued, recorded, refused."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console

from jitkit.ablation.t_interval import mean_with_interval
from jitkit.discovery import create_plugin_manager
from jitkit.errors import InputError, Stopped, UsageError
from jitkit.training.setup import Request, train
from tests.core.ablation.conftest import GRID, Workbench
from tests.training_lab import StopAt, digest, metrics

pytestmark = pytest.mark.slow

HOT = '[cells]\nhot = ["train.lr=1e30", "train.clip_norm=1e30", "train.warmup_steps=0"]\n'


def newest(folder: Path) -> Path:
    return max(folder.glob("checkpoint_*.pth"), key=lambda path: path.stat().st_mtime)


def state(out: Path) -> dict[str, tuple[str, list[dict[str, float]]]]:
    """Return, for every run, all that it came to."""
    return {
        str(path.parent.relative_to(out)): (digest(newest(path.parent)), metrics(path.parent))
        for path in sorted(out.glob("*/seed-*/cell.json"))
    }


def test_a_cell_is_the_run_that_train_would_make_and_its_figures_are_those_of_eval(bench: Workbench) -> None:
    document = bench.run()
    cell = bench.plan()[3]
    alone = bench.home / "alone"
    train(Request(cell.components, create_plugin_manager(), alone, torch.device("cpu"), Console(file=io.StringIO())))
    assert state(bench.out)["train.lr=0.01/seed-2"] == (digest(newest(alone)), metrics(alone))

    reports = [json.loads((bench.out / f"train.lr=0.01/seed-{seed}/eval/loss.json").read_text()) for seed in (1, 2)]
    losses = [report["validation"]["loss"] for report in reports]
    row = document["rows"][1]
    assert (row["cell"], row["seeds"]) == ("train.lr=0.01", {"1": "trained", "2": "trained"})
    figure = row["figures"]["validation.loss"]
    assert figure["values"] == {"1": losses[0], "2": losses[1]}
    assert figure["mean"] == pytest.approx(sum(losses) / 2)
    assert figure["low"] < min(losses) < max(losses) < figure["high"]
    assert document == json.loads((bench.out / "results.json").read_text())

    first = document["rows"][0]["figures"]["validation.loss"]
    apart = [figure["values"][seed] - first["values"][seed] for seed in ("1", "2")]
    assert figure["difference"] == mean_with_interval(apart)
    assert first["difference"] == {"mean": 0, "low": 0, "high": 0}


def test_what_is_finished_is_not_done_again(bench: Workbench) -> None:
    first = bench.run()
    before = {path: path.stat().st_mtime_ns for path in bench.out.rglob("*") if "seed-" in str(path)}
    bench.said()
    assert bench.run() == first
    assert {path: path.stat().st_mtime_ns for path in bench.out.rglob("*") if "seed-" in str(path)} == before
    assert bench.said() == ""


def test_a_grid_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(bench: Workbench, tmp_path: Path) -> None:
    bench.run()
    whole = state(bench.out)
    bench.out.rename(tmp_path / "whole")
    with pytest.raises(Stopped) as caught:
        bench.run(plugins=(StopAt(2, signal.SIGINT),))
    assert caught.value.code == 130
    assert "run 1 of 4" in str(caught.value)
    assert "waiting" in (bench.out / "results.md").read_text()
    bench.run()
    assert state(bench.out) == whole


def test_a_cell_that_diverges_is_recorded_and_the_grid_goes_on(bench: Workbench) -> None:
    document = bench.run(
        HOT.join(GRID.split("[axes]\n")).replace('"train.lr" = [1e-3, 1e-2]\n', 'cold = ["train.lr=1e-3"]\n')
    )
    ends = {row["cell"]: set(row["seeds"].values()) for row in document["rows"]}
    assert ends == {"hot": {"diverged"}, "cold": {"trained"}}
    assert document["rows"][0]["figures"] == {}
    assert "2 diverged" in (bench.out / "results.md").read_text()
    record = json.loads((bench.out / "hot/seed-1/cell.json").read_text())
    assert "found nan" in record["reason"] or "found inf" in record["reason"]
    bench.said()
    bench.run((bench.home / "grid.toml").read_text())
    assert "hot" not in bench.said(), "it would diverge again"


def test_a_changed_grid_is_refused_unless_told_and_loses_nothing(bench: Workbench) -> None:
    bench.run()
    before = state(bench.out)
    changed = GRID.replace("[1e-3, 1e-2]", "[1e-3, 5e-3]").replace(
        "train.epochs=1", 'train.epochs=1", "train.ema=[0.9]'
    )
    with pytest.raises(UsageError, match=r"2 with another train.ema, 2 new .*2 gone .*--accept-changes"):
        bench.run(changed)
    assert state(bench.out) == before
    document = bench.run(changed, accept_changes=True)
    assert [row["cell"] for row in document["rows"]] == ["train.lr=0.001", "train.lr=0.005"]
    after = state(bench.out)
    assert after["train.lr=0.01/seed-1"] == before["train.lr=0.01/seed-1"], "a cell that is gone stays on the disk"
    assert after["train.lr=0.001/seed-1"] != before["train.lr=0.001/seed-1"]
    aside = bench.out / "replaced" / "train.lr=0.001+seed-1-1"
    assert (digest(newest(aside)), metrics(aside)) == before["train.lr=0.001/seed-1"]
    bench.run(changed)


def test_another_text_is_a_change(bench: Workbench) -> None:
    bench.run()
    (bench.home / "text.txt").write_text("pack my box with five dozen liquor jugs. " * 16)
    with pytest.raises(UsageError, match=r"4 with another data\.fingerprint"):
        bench.run()


def test_new_seeds_leave_the_trained_ones_alone(bench: Workbench) -> None:
    bench.run()
    before = state(bench.out)
    document = bench.run(GRID.replace("[1, 2]", "[1, 2, 3]"), accept_changes=True)
    assert before.items() <= state(bench.out).items()
    assert len(document["rows"][0]["figures"]["validation.loss"]["values"]) == 3
    assert not (bench.out / "replaced").exists()


def test_readings_may_change_at_any_time_and_settings_of_the_sampler_tell(bench: Workbench) -> None:
    bench.run()
    before = state(bench.out)
    texts = '[eval.texts]\nmetrics = ["generation"]\naxes = { "sampler.steps" = [1, 4] }\n'
    document = bench.run(GRID + texts)
    assert state(bench.out) == before
    again = bench.run(GRID.replace('["validation"]', '["token_recovery"]') + texts)
    assert "token_recovery.0.5.one_step" in again["rows"][0]["figures"], "measured otherwise is measured again"
    assert "validation.loss" not in again["rows"][0]["figures"]
    rows = [row for row in document["rows"] if row["eval"] == "texts" and row["cell"] == "train.lr=0.01"]
    assert [row["at"] for row in rows] == ["sampler.steps=1", "sampler.steps=4"]
    one, four = (row["figures"]["generation.model.judge_bits"]["values"] for row in rows)
    assert one != four
    assert "generation.model.judge_bits" in document["columns"]
    assert not [name for name in document["columns"] if "held-out" in name], "no control is a result of the model"


def test_a_damaged_record_is_named(bench: Workbench) -> None:
    bench.run()
    path = bench.out / "train.lr=0.01" / "seed-1" / "cell.json"
    path.write_text("{")
    with pytest.raises(InputError, match=r"cell\.json"):
        bench.run()
