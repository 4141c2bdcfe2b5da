"""Whole grids of one-second runs: equal to single runs, resumed, recorded, and refused."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console

from jitkit.ablation.t_interval import mean_and_interval
from jitkit.discovery import create_plugin_manager
from jitkit.errors import InputError, Stopped, UsageError
from jitkit.training.run import Request, train
from tests.core.ablation.conftest import GRID, Workbench
from tests.training_lab import StopAt, digest, metrics

pytestmark = pytest.mark.slow

HOT = '[cells]\nhot = ["train.lr=1000", "train.clip_norm=1e30", "train.warmup_steps=0"]\n'


def newest(folder: Path) -> Path:
    return max(folder.glob("checkpoint_*.pth"), key=lambda path: path.stat().st_mtime)


def state(out: Path) -> dict[str, tuple[str, list[dict[str, float]]]]:
    """Return the digest of the weights and the metrics of every run."""
    return {
        str(path.parent.relative_to(out)): (digest(newest(path.parent)), metrics(path.parent))
        for path in sorted(out.glob("*/seed-*/cell.json"))
    }


def test_a_run_equals_that_of_train_and_its_figures_those_of_eval(bench: Workbench) -> None:
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
    assert figure["difference"] == mean_and_interval(apart)
    assert first["difference"] == {"mean": 0, "low": 0, "high": 0}


def test_finished_work_is_skipped(bench: Workbench) -> None:
    first = bench.run()
    before = {path: path.stat().st_mtime_ns for path in bench.out.rglob("*") if "seed-" in str(path)}
    bench.output()
    assert bench.run() == first
    assert {path: path.stat().st_mtime_ns for path in bench.out.rglob("*") if "seed-" in str(path)} == before
    assert bench.output() == ""


def test_a_resumed_grid_equals_an_uninterrupted_one(bench: Workbench, tmp_path: Path) -> None:
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


def test_a_diverged_run_is_recorded_and_the_grid_continues(bench: Workbench) -> None:
    document = bench.run(
        HOT.join(GRID.split("[axes]\n")).replace('"train.lr" = [1e-3, 1e-2]\n', 'cold = ["train.lr=1e-3"]\n')
    )
    ends = {row["cell"]: set(row["seeds"].values()) for row in document["rows"]}
    assert ends == {"hot": {"diverged"}, "cold": {"trained"}}
    assert document["rows"][0]["figures"] == {}
    assert "2 diverged" in (bench.out / "results.md").read_text()
    record = json.loads((bench.out / "hot/seed-1/cell.json").read_text())
    assert "found nan" in record["reason"] or "found inf" in record["reason"]
    bench.output()
    bench.run((bench.home / "grid.toml").read_text())
    assert "hot" not in bench.output(), "a diverged run is not repeated"


def test_a_changed_grid_needs_accept_changes_and_deletes_nothing(bench: Workbench) -> None:
    bench.run()
    before = state(bench.out)
    changed = GRID.replace("[1e-3, 1e-2]", "[1e-3, 5e-3]").replace(
        "train.epochs=1", 'train.epochs=1", "train.ema=[0.9]'
    )
    with pytest.raises(UsageError, match=r"2 with a different train.ema, 2 new .*2 gone .*--accept-changes"):
        bench.run(changed)
    assert state(bench.out) == before
    document = bench.run(changed, accept_changes=True)
    assert [row["cell"] for row in document["rows"]] == ["train.lr=0.001", "train.lr=0.005"]
    after = state(bench.out)
    assert after["train.lr=0.01/seed-1"] == before["train.lr=0.01/seed-1"], "a removed cell stays on disk"
    assert after["train.lr=0.001/seed-1"] != before["train.lr=0.001/seed-1"]
    aside = bench.out / "replaced" / "train.lr=0.001+seed-1-1"
    assert (digest(newest(aside)), metrics(aside)) == before["train.lr=0.001/seed-1"]
    bench.run(changed)


def test_a_different_text_is_a_change(bench: Workbench) -> None:
    bench.run()
    (bench.home / "text.txt").write_text("pack my box with five dozen liquor jugs. " * 16)
    with pytest.raises(UsageError, match=r"4 with a different data\.fingerprint"):
        bench.run()


def test_new_seeds_do_not_affect_trained_runs(bench: Workbench) -> None:
    bench.run()
    before = state(bench.out)
    document = bench.run(GRID.replace("[1, 2]", "[1, 2, 3]"), accept_changes=True)
    assert before.items() <= state(bench.out).items()
    assert len(document["rows"][0]["figures"]["validation.loss"]["values"]) == 3
    assert not (bench.out / "replaced").exists()


def test_evaluations_may_change_at_any_time(bench: Workbench) -> None:
    bench.run()
    before = state(bench.out)
    texts = '[eval.texts]\nmetrics = ["generation"]\naxes = { "sampler.steps" = [1, 4] }\n'
    document = bench.run(GRID + texts)
    assert state(bench.out) == before
    again = bench.run(GRID.replace('["validation"]', '["token_recovery"]') + texts)
    assert "token_recovery.0.5.one_step" in again["rows"][0]["figures"], "changed settings are evaluated again"
    assert "validation.loss" not in again["rows"][0]["figures"]
    rows = [row for row in document["rows"] if row["eval"] == "texts" and row["cell"] == "train.lr=0.01"]
    assert [row["at"] for row in rows] == ["sampler.steps=1", "sampler.steps=4"]
    one, four = (row["figures"]["generation.model.judge_bits"]["values"] for row in rows)
    assert one != four
    assert "generation.model.judge_bits" in document["columns"]
    assert not [name for name in document["columns"] if "held-out" in name], "baselines are not results of the model"


def test_a_damaged_record_is_an_error(bench: Workbench) -> None:
    bench.run()
    path = bench.out / "train.lr=0.01" / "seed-1" / "cell.json"
    path.write_text("{")
    with pytest.raises(InputError, match=r"cell\.json"):
        bench.run()


def test_a_grid_that_an_older_version_began_continues(bench: Workbench) -> None:
    bench.run()
    before, record = state(bench.out), bench.out / "grid.json"
    recorded = json.loads(record.read_text())
    for recipe in recorded["cells"].values():
        recipe |= {"train.x_prev": "here", "objective.reading": recipe.pop("objective.token_posterior")}
    record.write_text(json.dumps(recorded))
    bench.output()
    bench.run()
    assert bench.output() == ""
    assert state(bench.out) == before
