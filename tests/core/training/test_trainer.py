"""Steps, ends of epochs, and failures."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from filelock import FileLock
from torch import Tensor

from jitkit import hookimpl
from jitkit.checkpoints.format import load_checkpoint
from jitkit.checkpoints.open import load_pipeline
from jitkit.component import Component
from jitkit.errors import DivergedError, InputError, ResourceError, Stopped, visible
from jitkit.protocols import Codec, Noised, NoiseSchedule
from jitkit.report.run_record import read_run
from tests.tiny import validation_loss
from tests.toy_objective import ImageObjective
from tests.training_lab import Lab, StopAt, digest, metrics


class AtStep:
    """A plugin that does something after a step."""

    def __init__(self, step: int, action: Callable[[], object]) -> None:
        self.step, self.action = step, action

    @hookimpl
    def jitkit_step_finished(self, step: int) -> None:
        if step == self.step:
            self.action()


class Poison(ImageObjective):
    """A third-party objective that fails while `poisoned` is true."""

    name: ClassVar[str] = "poison"
    poisoned: ClassVar[bool] = False
    factor: ClassVar[float] = float("nan")  # of the loss while it is poisoned
    penalty: ClassVar[float] = 0.0  # of validation alone
    alarm: ClassVar[int] = 0  # a signal that this process gets during validation

    only_gradient: bool = False
    careless: bool = False  # uses torch's global generator, as a network with dropout does

    def loss(self, raw: Tensor, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        loss = super().loss(raw, batch, schedule=schedule, codec=codec)
        if self.poisoned and self.only_gradient:
            return loss + (raw * 0).sum(dim=(1, 2, 3)).sqrt()  # zero, and its derivative is 0 * inf
        if self.careless:
            loss = loss * torch.rand(())
        if not torch.is_grad_enabled():
            loss = loss + self.penalty
            if self.alarm:
                os.kill(os.getpid(), self.alarm)
        return loss * self.factor if self.poisoned else loss


class PoisonPlugin:
    """Registers the objective, poisons it after a step, and makes validation worse from another step on."""

    def __init__(self, after: int = 0, worse_from: int = 10**9) -> None:
        self.after, self.worse_from = after, worse_from

    @hookimpl
    def jitkit_objectives(self) -> list[type[Component]]:
        return [Poison]

    @hookimpl
    def jitkit_step_finished(self, step: int) -> None:
        Poison.poisoned = step == self.after
        Poison.penalty = 1e6 * (step >= self.worse_from)


POISON = ("objective.use=poison", "train.decay=constant")


@pytest.fixture(autouse=True)
def _no_poison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Poison, "poisoned", False)
    monkeypatch.setattr(Poison, "penalty", 0.0)
    monkeypatch.setattr(Poison, "alarm", 0)


@pytest.mark.parametrize(("only_gradient", "factor"), [(False, "nan"), (False, "inf"), (True, "nan")])
def test_a_step_that_is_not_finite_is_not_taken(
    lab: Lab, only_gradient: bool, factor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Poison, "factor", float(factor))
    options = (*POISON, f"objective.only_gradient={str(only_gradient).lower()}")
    with pytest.raises(Stopped):
        lab.train("sound", *options, plugins=(PoisonPlugin(), StopAt(4)))
    with pytest.raises(DivergedError) as caught:
        lab.train("poisoned", *options, plugins=(PoisonPlugin(4),))
    saved = lab.home / "poisoned" / "checkpoint_epoch_1.pth"
    assert digest(saved) == digest(lab.home / "sound" / "checkpoint_epoch_1.pth")
    assert len(metrics(lab.home / "poisoned")) == 4
    problem = caught.value.problems[0]
    assert problem.field == ("step 5: grad_norm" if only_gradient else "step 5: loss")
    assert problem.found == factor
    report = json.loads((lab.home / "poisoned" / "diverged_step_5.json").read_text())
    assert len(report["starts"]) == 6
    assert f"start at tokens {report['starts'][0]}, {report['starts'][1]}" in str(caught.value)


def test_accumulation_equals_a_whole_batch(lab: Lab) -> None:
    for accumulate in (1, 2, 3):
        lab.train(f"in {accumulate}", f"train.accumulate={accumulate}", "train.max_steps=6")
    whole, *others = (metrics(lab.home / f"in {n}") for n in (1, 2, 3))
    for other in others:
        for one, another in zip(whole, other, strict=True):
            assert another == pytest.approx(one, rel=1e-3)
        assert other[0]["grad_norm"] == pytest.approx(whole[0]["grad_norm"], rel=1e-6)


def test_settings_of_sampling_change_neither_weights_nor_losses(lab: Lab) -> None:
    learned = "objective={use='codeword', self_conditioning=0.5, flow_weight=0.1"
    for name, more in (("plain", ""), ("sampled", ", temperature=0.3, evidence=0.2, top_p=0.5")):
        lab.train(name, learned + more + "}", "train.max_steps=6")
    plain, sampled = (lab.home / name for name in ("plain", "sampled"))
    assert metrics(sampled) == metrics(plain)
    weights = (load_pipeline(folder / "best_model.pth").network.state_dict() for folder in (plain, sampled))
    for one, other in zip(*(given.values() for given in weights), strict=True):
        assert one.equal(other)


@pytest.mark.parametrize("limit", [1e-3, 1e6])
def test_gradients_are_clipped_before_the_step(lab: Lab, limit: float) -> None:
    """Adam's first average is (1 - beta) times its gradient."""
    lab.train("run", "train.max_steps=1", f"train.clip_norm={limit}")
    (path,) = (lab.home / "run").glob("checkpoint_epoch_*.pth")
    state = load_checkpoint(path).optimizer_state_dict
    assert state is not None
    given = torch.stack([moments["exp_avg"].norm() for moments in state.values()]).norm() / (1 - 0.9)
    assert float(given) == pytest.approx(min(limit, metrics(lab.home / "run")[0]["grad_norm"]), rel=1e-3)


def test_each_batch_is_one_step_and_one_line(lab: Lab) -> None:
    result = lab.train("run", "train.accumulate=3")
    lines = metrics(lab.home / "run")
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, result.step + 1))
    assert [line["step"] for line in lines if "validation_loss" in line] == [6, 11, 16]
    state = load_checkpoint(lab.home / "run" / "checkpoint_epoch_3.pth").optimizer_state_dict
    assert state is not None
    assert {float(entry["step"]) for entry in state.values()} == {result.step}


def test_the_best_model_has_the_lowest_validation_loss(lab: Lab) -> None:
    lab.train("run", *POISON, plugins=(PoisonPlugin(worse_from=12),))
    losses = {line["step"]: line["validation_loss"] for line in metrics(lab.home / "run") if "validation_loss" in line}
    best = load_checkpoint(lab.home / "run" / "best_model.pth")
    assert best.loss == best.best_loss == min(losses.values()) == losses[best.step]
    assert best.step == 11
    assert best.optimizer_state_dict is None


def test_the_best_loss_survives_a_stop(lab: Lab) -> None:
    lab.train("whole", *POISON, plugins=(PoisonPlugin(worse_from=7),))
    with pytest.raises(Stopped):
        lab.train("parts", *POISON, plugins=(PoisonPlugin(worse_from=7), StopAt(8)))
    lab.train("parts", *POISON, plugins=(PoisonPlugin(worse_from=7),), resume="auto")
    for name in ("checkpoint_epoch_3.pth", "best_model.pth"):
        assert digest(lab.home / "parts" / name) == digest(lab.home / "whole" / name)
    assert load_checkpoint(lab.home / "parts" / "best_model.pth").step == 6


def test_the_randomness_of_a_plugin_survives_a_stop(lab: Lab) -> None:
    options = (*POISON, "objective.careless=true")
    lab.train("whole", *options, plugins=(PoisonPlugin(),))
    with pytest.raises(Stopped):
        lab.train("parts", *options, plugins=(PoisonPlugin(), StopAt(8)))
    lab.train("parts", *options, plugins=(PoisonPlugin(),), resume="auto")
    assert metrics(lab.home / "parts") == metrics(lab.home / "whole")


def test_a_signal_during_validation_stops_at_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.train("whole", *POISON, plugins=(PoisonPlugin(),))
    with monkeypatch.context() as patch, pytest.raises(Stopped):  # noqa: PT012
        patch.setattr(Poison, "alarm", signal.SIGTERM)
        lab.train("parts", *POISON, plugins=(PoisonPlugin(),))
    saved = load_checkpoint(lab.home / "parts" / "checkpoint_epoch_1.pth")
    assert (saved.step, saved.loss, saved.best_loss) == (6, None, None)
    lab.train("parts", *POISON, plugins=(PoisonPlugin(),), resume="auto")
    assert metrics(lab.home / "parts") == metrics(lab.home / "whole")


def test_a_validation_loss_that_is_not_finite_ends_the_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PoisonPlugin, "jitkit_step_finished", lambda self, step: None)
    monkeypatch.setattr(Poison, "penalty", float("inf"))
    with pytest.raises(DivergedError, match=r"step 6: validation_loss: found inf; .* checkpoint_epoch_1\.pth"):
        lab.train("run", *POISON, plugins=(PoisonPlugin(),))
    assert load_checkpoint(lab.home / "run" / "checkpoint_epoch_1.pth").step == 6
    assert not (lab.home / "run" / "best_model.pth").exists()


def test_validation_uses_the_first_average_and_fixed_noise(lab: Lab) -> None:
    result = lab.train("run", "train.ema=[0.5, 0.9]")
    path = lab.home / "run" / "checkpoint_epoch_3.pth"
    windows = load_checkpoint(path).validation_tokens
    averaged, raw = (load_pipeline(path, ema=ema).denoiser for ema in (True, False))
    assert validation_loss(averaged, windows, seed=42, batch_size=2) == pytest.approx(result.loss, rel=1e-5)
    assert validation_loss(raw, windows, seed=42, batch_size=2) != pytest.approx(result.loss, rel=1e-5)


def test_the_newest_checkpoints_and_the_best_model_are_kept(lab: Lab) -> None:
    lab.train("run", *POISON, "train.epochs=6", "train.keep=2", plugins=(PoisonPlugin(worse_from=7),))
    names = {path.name for path in (lab.home / "run").glob("*.pth")}
    assert names == {"checkpoint_epoch_5.pth", "checkpoint_epoch_6.pth", "best_model.pth"}
    assert load_checkpoint(lab.home / "run" / "best_model.pth").epoch == 1


def test_checkpoints_follow_their_interval_and_the_end_of_the_run(lab: Lab) -> None:
    lab.train("run", "train.epochs=5", "train.checkpoint_every=2")
    epochs = {load_checkpoint(path).epoch for path in (lab.home / "run").glob("checkpoint_*")}
    assert epochs == {2, 4, 5}


@pytest.fixture
def _heeded(number: int) -> Iterator[None]:
    """Restore the default handler: `nohup` and shells make background programs ignore signals."""
    before = signal.signal(number, signal.SIG_DFL)
    yield
    signal.signal(number, before)


@pytest.mark.usefixtures("_heeded")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_finishes_the_step_and_saves(lab: Lab, number: int, code: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=r"checkpoint_epoch_1\.pth") as caught:
        lab.train("run", plugins=(StopAt(3, number),))
    assert caught.value.code == code
    assert signal.getsignal(number) == before
    assert load_checkpoint(lab.home / "run" / "checkpoint_epoch_1.pth").step == 3
    # Ctrl-C leaves time to measure, a job queue does not
    assert (lab.home / "run" / "best_model.pth").exists() == (number == signal.SIGINT)


def test_a_second_signal_stops_at_once(lab: Lab) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="at once"):
        lab.train("run", plugins=(AtStep(2, twice),))
    assert not list((lab.home / "run").glob("*.pth"))


class Listener:
    """A plugin that fails at every notice."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def _hear(self, what: str) -> None:
        self.heard.append(what)
        raise RuntimeError("no ears")

    @hookimpl
    def jitkit_run_started(self, folder: Path) -> None:
        self._hear(f"started {folder.name}")

    @hookimpl
    def jitkit_step_finished(self, step: int, values: Mapping[str, float]) -> None:
        self._hear(f"step {step} {values['step']}")

    @hookimpl
    def jitkit_checkpoint_saved(self, path: Path, step: int) -> None:
        self._hear(f"saved {path.name} {step}")

    @hookimpl
    def jitkit_run_finished(self, step: int, reason: str) -> None:
        self._hear(f"{reason} {step}")


def test_plugins_get_every_notice_and_a_failing_one_is_named_once(lab: Lab) -> None:
    listener = Listener()
    lab.train("run", "train.max_steps=2", plugins=(listener,))
    assert listener.heard == [
        "started run",
        "step 1 1",
        "step 2 2",
        "saved checkpoint_epoch_1.pth 2",
        "saved best_model.pth 2",
        "finished 2",
    ]
    assert lab.output().count("no ears") == 4, "once per kind of notice"


class FailingTracker(Component):
    """A tracker that never works."""

    name: ClassVar[str] = "failing"

    def build(self, folder: Path) -> FailingTracker:
        return self

    def log(self, step: int, values: Mapping[str, float]) -> None:
        raise OSError("the network is down")

    def close(self) -> None:
        raise OSError("the network is still down")


class FailingTrackerPlugin:
    @hookimpl
    def jitkit_trackers(self) -> list[type[Component]]:
        return [FailingTracker]


def test_a_failing_tracker_is_named_once_and_stops_nothing(lab: Lab) -> None:
    result = lab.train("run", 'train.trackers=["failing"]', plugins=(FailingTrackerPlugin(),))
    assert result.step == 16
    output = lab.output()
    assert output.count("tracker failing") == output.count("the network is down") == 1


def test_the_report_shows_losses_and_samples_and_does_not_change_the_run(lab: Lab) -> None:
    lab.train("plain")
    folder = lab.home / "plain"
    page = (folder / "report.html").read_text()
    assert "loss against optimizer steps" in page
    assert "seed 0" in page
    newest = sorted(folder.glob("checkpoint_epoch_*.pth"))[-1]
    (lab.home / "unwritable" / "report.html").mkdir(parents=True)  # a page that cannot be written
    lab.output()
    lab.train("unwritable")
    assert lab.output().count("warning: report.html") == 1  # once, after three validations
    assert metrics(lab.home / "unwritable") == metrics(folder)
    assert digest(lab.home / "unwritable" / newest.name) == digest(newest)


def test_a_run_that_cannot_start_leaves_nothing(lab: Lab) -> None:
    for out in ("a/b", "there"):
        with pytest.raises(InputError):
            lab.train(out, "data.validation_fraction=1e-9", data=lab.home / "missing.txt")
        (lab.home / "there").mkdir(exist_ok=True)
    assert not (lab.home / "a").exists()
    assert list((lab.home / "there").iterdir()) == []
    (lab.home / "there" / "note.txt").write_text("mine")
    with pytest.raises(InputError):
        lab.train("there", resume=lab.home / "missing.pth")
    assert [path.name for path in (lab.home / "there").iterdir() if path.name[0] != "."] == ["note.txt"]


@pytest.mark.parametrize(
    ("windows", "reason"),
    [(2, "train.validation_windows limits them"), (99, "a longer text or data.validation_fraction gives more")],
)
def test_a_validation_on_few_windows_is_a_warning(lab: Lab, windows: int, reason: str) -> None:
    lab.train("run", "train.max_steps=1", f"train.validation_windows={windows}")
    (line,) = (line for line in lab.output().splitlines() if "noisy" in line)
    found = len(load_checkpoint(lab.home / "run" / "best_model.pth").validation_tokens)
    assert line == f"jitkit: warning: the validation loss of {found} windows is noisy; {reason}"
    assert read_run(lab.home / "run").validation_windows == found


def test_a_folder_has_only_one_run_at_a_time(lab: Lab) -> None:
    folder = lab.home / "run"
    folder.mkdir()
    with FileLock(folder / ".lock"), pytest.raises(ResourceError, match="another process that trains"):
        lab.train("run")
    lab.train("run", "train.max_steps=1")  # the lock file itself is no obstacle


def test_a_full_disk_leaves_the_last_checkpoint_intact(lab: Lab) -> None:
    folder = lab.home / "run"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    too_small = 10_000  # bytes a file may have from step 8 on; a checkpoint has more
    plugin = AtStep(8, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (too_small, limits[1])))
    try:
        with pytest.raises(ResourceError, match=r"file too large .* free"):
            lab.train("run", plugins=(plugin,))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert load_checkpoint(folder / "checkpoint_epoch_1.pth").step == 6
    assert not list(folder.glob(".*tmp"))
    assert lab.train("run", resume="auto").step == 16


def test_a_deleted_folder_is_an_error(lab: Lab) -> None:
    with pytest.raises(ResourceError, match="no such file or directory"):
        lab.train("run", plugins=(AtStep(3, lambda: shutil.rmtree(lab.home / "run")),))


def test_an_unwritable_folder_is_named(lab: Lab) -> None:
    with pytest.raises(ResourceError, match="/proc/run"):
        lab.train("/proc/run")


def test_temporary_files_of_a_killed_process_are_deleted(lab: Lab) -> None:
    (lab.home / "run").mkdir()
    stale = lab.home / "run" / ".best_model.pth.0123abcd.jitkit-tmp"
    stale.write_bytes(b"half")
    lab.train("run", "train.max_steps=1")
    assert not stale.exists()


def test_the_folder_contains_its_resolved_manifest(lab: Lab) -> None:
    lab.train("run", "train.max_steps=2", "train.lr=0.5")
    written = (lab.home / "run" / "manifest.toml").read_text()
    assert load_checkpoint(lab.home / "run" / "best_model.pth").manifest == written
    assert "lr = 0.5" in written
    assert "beta" in written, "defaults are written out"


def test_each_validation_shows_the_first_sample_of_the_report(lab: Lab) -> None:
    lab.train("run")
    samples = [line for line in lab.output().splitlines() if "  sample: " in line]
    assert [line.partition("  ")[0] for line in samples] == ["step 6/16", "step 11/16", "step 16/16"]
    gallery = json.loads((lab.home / "run" / "gallery.json").read_text())
    text = "".join(piece["text"] for piece in gallery["samples"][0]["pieces"])
    assert samples[-1] == f"step 16/16  sample: {visible(text)}"
    assert len(visible(text)) <= 120


def test_progress_is_plain_lines_without_a_terminal(lab: Lab) -> None:
    lab.train("run")
    output = lab.output()
    assert "\x1b" not in output
    assert "step 1/16" in output
    assert "step 16/16  validation loss" in output
    assert "runs reproduce bit for bit" in output


@pytest.mark.slow
def test_a_failed_compilation_is_one_note(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nonexistent/compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(lab.home / "inductor"))
    # torch's own way: monkeypatch would leave the key hidden from every later test
    with torch._inductor.config.patch({"cpp.cxx": ("/nonexistent/compiler",)}):
        assert lab.train("run", "train.compile=on", "train.max_steps=2").step == 2
    assert lab.output().count("torch.compile does not work here") == 1


def test_running_out_of_memory_saves_the_state_before_the_step(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """It equals the state of a run that was stopped there."""

    def greedy(self: Poison, raw: Tensor, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        loss = (raw - batch.x).square().mean(dim=(1, 2, 3))
        return loss + torch.empty(1 << 55).sum() if self.poisoned else loss

    monkeypatch.setattr(Poison, "loss", greedy)
    with pytest.raises(Stopped):
        lab.train("sound", *POISON, plugins=(PoisonPlugin(), StopAt(4)))
    with pytest.raises(ResourceError, match=r"not enough memory on cpu at step 5.*Saved: .*checkpoint_epoch_1\.pth"):
        lab.train("greedy", *POISON, plugins=(PoisonPlugin(4),))
    name = "checkpoint_epoch_1.pth"
    assert digest(lab.home / "greedy" / name) == digest(lab.home / "sound" / name)
