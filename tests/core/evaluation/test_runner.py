"""Evaluating a trained checkpoint."""

from dataclasses import replace
from types import ModuleType
from typing import ClassVar

import pytest
import torch

from jitkit.assembly import assemble
from jitkit.checkpoints.format import load_checkpoint, save_checkpoint
from jitkit.checkpoints.open import find_model, open_model
from jitkit.component import Component
from jitkit.discovery import create_plugin_manager
from jitkit.errors import InputError, PluginError
from jitkit.evaluation.notes import unknown_scripts
from jitkit.evaluation.runner import Scope, evaluate_checkpoint
from jitkit.files import Files
from jitkit.hookspecs import hookimpl
from jitkit.testing.oracle import tiny_pipeline
from jitkit_plugins.sources.python_docs import PythonDocsSource
from tests.core.cli.conftest import run
from tests.tiny import TINY, checkpoint_of, resolved


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train for four steps in float32 and return the run folder."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.toml").write_text(TINY)
    settings = ("train.max_steps=4", "train.precision='fp32'", "train.validation_windows=5", "train.ema=[0.5]")
    overrides = [word for setting in settings for word in ("--set", setting)]
    done = run("train", folder / "tiny.toml", "--out", folder / "run", *overrides, JITKIT_CACHE=str(folder / "cache"))
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.mark.slow
def test_the_validation_loss_equals_that_of_training(trained):
    checkpoint = load_checkpoint(trained / "best_model.pth")
    report = evaluate_checkpoint(open_model(trained / "best_model.pth", create_plugin_manager()))
    assert report["validation"]["loss"] == pytest.approx(checkpoint.loss, rel=1e-5)
    assert report["num_held_out"] == len(checkpoint.validation_tokens) == 5
    assert (report["step"], report["model"]) == (4, "tiny")


@pytest.mark.slow
def test_evaluation_is_deterministic(trained):
    reports = [
        evaluate_checkpoint(open_model(trained / "best_model.pth", create_plugin_manager()), scope=Scope(limit=3))
        for _ in range(2)
    ]
    for report in reports:
        assert report.pop("seconds") >= 0
    assert reports[0] == reports[1]


METRICS = ("validation", "token_recovery", "text_recovery", "step_recovery", "infill_recovery", "script_errors")


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory):
    """A checkpoint whose weights are finite, and whose images are not."""
    pipeline = assemble(resolved())
    for parameter in pipeline.network.parameters():
        torch.nn.init.constant_(parameter, 1e30)
    path = tmp_path_factory.mktemp("overflowing") / "best_model.pth"
    save_checkpoint(path, checkpoint_of(pipeline))
    return path


@pytest.mark.parametrize("metric", [*METRICS, "likelihood", "ode_likelihood", "generation"])
def test_no_metric_measures_images_that_are_not_finite(overflowing, metric):
    """Their tokens would mean nothing, and have an accuracy all the same."""
    with pytest.raises(InputError, match=r"not finite|found nan; expected a finite number"):
        evaluate_checkpoint(open_model(overflowing), scope=Scope(limit=2, quick=True), metrics=[metric])


class Clash(Component):
    """A metric with the name of a key of the report."""

    name: ClassVar[str] = "device"

    def measure(self, context):
        return {"loss": 1.0}


@pytest.mark.slow
def test_a_metric_with_the_name_of_a_report_key_is_an_error(trained):
    plugin = ModuleType("clash")
    plugin.jitkit_metrics = hookimpl(lambda: [Clash])
    checkpoint = load_checkpoint(trained / "best_model.pth")
    manifest = checkpoint.manifest.replace('"codec",', '"device",', 1)
    assert manifest != checkpoint.manifest
    save_checkpoint(trained / "clash.pth", replace(checkpoint, manifest=manifest))
    with pytest.raises(PluginError, match="a metric called 'device'"):
        evaluate_checkpoint(open_model(trained / "clash.pth", create_plugin_manager([plugin])))


# ------------------------------------------------------------------------------- notes, interruption, all metrics


class Interrupted(Component):
    """A metric that is interrupted by Ctrl-C the first time."""

    name: ClassVar[str] = "interrupted"
    times: ClassVar[int] = 0

    def measure(self, context):
        Interrupted.times += 1
        if Interrupted.times == 1:
            raise KeyboardInterrupt
        return {"loss": 1.0}


@pytest.mark.slow
def test_an_interrupted_evaluation_continues(trained):
    plugin = ModuleType("interrupting")
    plugin.jitkit_metrics = hookimpl(lambda: [Interrupted])
    options = {"metrics": ["token_recovery", "validation", "interrupted", "codec"], "keep": True}
    bars: list[list[str]] = []

    def evaluate(**changes):
        bars.append([])
        return evaluate_checkpoint(
            open_model(trained / "best_model.pth", create_plugin_manager([plugin])),
            progress=lambda what, done, total: bars[-1].append(what),
            **options | changes,
        )

    with pytest.raises(KeyboardInterrupt):
        evaluate()
    assert list((trained / "best_model.eval").iterdir())
    other = evaluate(overrides=["train.seed=7"])
    assert not [note for note in other["notes"] if "continued" in note], "stored for other settings"
    report = evaluate()
    assert bars[0].count("validation") == 1
    assert "validation" not in bars[-1]
    assert "an interrupted evaluation was continued" in report["notes"]
    assert not (trained / "best_model.eval").exists()
    whole = evaluate(keep=False)
    for key in options["metrics"]:
        assert report[key] == whole[key]
    assert other["validation"] != whole["validation"]


@pytest.mark.slow
def test_an_unknown_metric_is_an_error_that_names_the_option(trained):
    with pytest.raises(PluginError, match=r"--metric: found unknown metric 'recovry'; .* Did you mean text_recovery"):
        evaluate_checkpoint(open_model(trained / "best_model.pth"), metrics=["recovry"], scope=Scope(quick=True))


def test_all_metrics_are_measured_and_a_note_reports_missing_windows(trained):
    report = evaluate_checkpoint(
        open_model(trained / "best_model.pth", create_plugin_manager()),
        metrics=["all"],
        scope=Scope(quick=True),
    )
    assert "the held-out text has 5 windows; --quick takes 16" in report["notes"]
    assert {"generation", "ode_likelihood", "infill_recovery", "script_errors"} <= set(report["about"])
    assert set(report["not_measured"]) <= {"gen_ppl", "grammar", "mauve"}  # without gpt2-large, or stories
    assert report["provenance"]["command"]
    assert not set(report) & set(report["provenance"]), "a key occurs twice"
    limited = evaluate_checkpoint(
        open_model(trained / "best_model.pth", create_plugin_manager()), metrics=["codec"], scope=Scope(limit=2)
    )
    assert limited["notes"] == []


@pytest.mark.slow
def test_contaminated_text_is_an_error(trained, tmp_path):
    (document,) = sorted(PythonDocsSource().build(Files(tmp_path)).documents("train"), key=len)[-1:]
    (tmp_path / "known.txt").write_text(document)
    with pytest.raises(InputError, match=r"known.txt: data: found held-out documents that the model was trained on: 1"):
        evaluate_checkpoint(
            open_model(trained / "best_model.pth", create_plugin_manager()), data=tmp_path / "known.txt"
        )


class Pieces:
    """A tokenizer with a token for the word "the" and single bytes."""

    vocab_size, eos_id, pad_id = 259, 256, 257

    def encode(self, text):
        return [258] if text == "the" else list(text.encode())

    def decode_bytes(self, ids):
        return b"".join(b"the" if id == 258 else bytes([id]) if id < 256 else b"" for id in ids)


def test_scripts_without_tokens_are_reported():
    assert unknown_scripts(Pieces(), "the дом the") == {"cyrillic": 3 / 11}
    assert unknown_scripts(Pieces(), "the house") == {}
    assert unknown_scripts(tiny_pipeline().tokenizer, "the дом") == {}


@pytest.mark.slow
def test_partial_results_of_a_zoo_model_are_stored_in_the_cache(tmp_path, monkeypatch):
    """They are deleted by the second attempt, which completes the evaluation."""
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path))
    (tmp_path / "text.txt").write_text("It was the best of times, it was the worst of times.\n" * 300)
    weights = find_model("jit-nano")
    before = sorted(weights.parent.iterdir())
    stored = tmp_path / "evaluations" / "jit-nano.eval"

    def stop(what, done, total):
        if what == "validation":
            raise KeyboardInterrupt

    def evaluate(progress):
        return evaluate_checkpoint(
            open_model(weights, create_plugin_manager()),
            data=tmp_path / "text.txt",
            metrics=["codec", "validation"],
            scope=Scope(limit=2),
            progress=progress,
            keep=True,
        )

    with pytest.raises(KeyboardInterrupt):
        evaluate(stop)
    assert list(stored.iterdir())
    assert sorted(weights.parent.iterdir()) == before
    assert "an interrupted evaluation was continued" in evaluate(lambda *_: None)["notes"]
    assert not stored.exists()
