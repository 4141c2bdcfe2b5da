"""A checkpoint as training leaves it, measured."""

from dataclasses import replace
from types import ModuleType
from typing import ClassVar

import pytest

from jitkit.checkpoints import load_checkpoint, save_checkpoint
from jitkit.component import Component
from jitkit.discovery import create_plugin_manager
from jitkit.errors import PluginError
from jitkit.evaluation.runner import Scope, evaluate_checkpoint
from jitkit.hookspecs import hookimpl
from tests.core.cli.conftest import run
from tests.tiny import TINY


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of four steps, in float32."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.toml").write_text(TINY)
    settings = ("train.max_steps=4", "train.precision='fp32'", "train.validation_windows=5", "train.ema=[0.5]")
    overrides = [word for setting in settings for word in ("--set", setting)]
    done = run("train", folder / "tiny.toml", "--out", folder / "run", *overrides, JITKIT_CACHE=str(folder / "cache"))
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.mark.slow
def test_the_validation_loss_is_the_one_that_training_chose_by(trained):
    checkpoint = load_checkpoint(trained / "best_model.pth")
    report = evaluate_checkpoint(trained / "best_model.pth", create_plugin_manager())
    assert report["validation"]["loss"] == pytest.approx(checkpoint.loss, rel=1e-5)
    assert report["num_held_out"] == len(checkpoint.validation_tokens) == 5
    assert (report["step"], report["model"]) == (4, "tiny")


@pytest.mark.slow
def test_evaluating_twice_says_the_same(trained):
    reports = [
        evaluate_checkpoint(trained / "best_model.pth", create_plugin_manager(), scope=Scope(limit=3)) for _ in range(2)
    ]
    for report in reports:
        assert report.pop("seconds") >= 0
    assert reports[0] == reports[1]


class Clash(Component):
    """A metric that is called as a key of the report is."""

    name: ClassVar[str] = "device"

    def measure(self, subject):
        return {"loss": 1.0}


@pytest.mark.slow
def test_a_metric_cannot_take_a_key_of_the_report(trained):
    plugin = ModuleType("clash")
    plugin.jitkit_metrics = hookimpl(lambda: [Clash])
    checkpoint = load_checkpoint(trained / "best_model.pth")
    manifest = checkpoint.manifest.replace('"codec",', '"device",', 1)
    assert manifest != checkpoint.manifest
    save_checkpoint(trained / "clash.pth", replace(checkpoint, manifest=manifest))
    with pytest.raises(PluginError, match="a metric called 'device'"):
        evaluate_checkpoint(trained / "clash.pth", create_plugin_manager([plugin]))
