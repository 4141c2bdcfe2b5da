"""From a request to a finished run."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console

from jitkit import parallel
from jitkit.assembly import Components, trackers_of
from jitkit.checkpoints.format import versions_in_use
from jitkit.checkpoints.remote import RemoteCheckpoints
from jitkit.checkpoints.run_index import model_in_run
from jitkit.diffusion.distillation import Distillation
from jitkit.discovery.loader import PluginManager
from jitkit.discovery.registry import Registry
from jitkit.errors import Stopped, in_python
from jitkit.execution.cpu_tuning import denormals_are_zero
from jitkit.execution.randomness import keep_global_generators
from jitkit.manifest.schema import Weights
from jitkit.parallel.mesh import require_mesh
from jitkit.progress import display, progress_bars
from jitkit.terminal import print_note
from jitkit.training.agreement import require_same_manifest, require_same_start
from jitkit.training.announcement import announce
from jitkit.training.budget import budget_text, fit_to_minutes
from jitkit.training.callbacks import Callbacks
from jitkit.training.manifest_differences import require_same
from jitkit.training.pretrained import KeptTeacher, find_teacher, load_initial_weights, load_teacher
from jitkit.training.remote_run import download_newer, require_unused
from jitkit.training.reporting import Reporter
from jitkit.training.resume import (
    MINUTES,
    ResumePoint,
    check_resume,
    executed_as_before,
    find_resume_point,
    keep_best,
    note_changed_conditions,
    with_recorded_draws,
    with_recorded_length,
)
from jitkit.training.retention import prune_checkpoints
from jitkit.training.run_folder import RunFolder
from jitkit.training.saver import Saver
from jitkit.training.setup import TrainingSetup, build_setup
from jitkit.training.signals import stop_signals
from jitkit.training.state import RunMetadata, State, run_metadata
from jitkit.training.stragglers import Stragglers
from jitkit.training.tasks.denoising import DenoisingTask, Prefetcher
from jitkit.training.tasks.distillation import DistillationTask
from jitkit.training.tasks.task import Lap, TrainingTask
from jitkit.training.trainer import Trainer

RESTART = 60.0  # seconds that a restarted run waits for the lock of its folder
LOG = logging.getLogger("jitkit")


@dataclass(frozen=True)
class Request:
    """The arguments of `jitkit train`."""

    components: Components
    manager: PluginManager
    folder: Path
    device: torch.device
    console: Console  # for progress and notes; stderr
    resume: Path | Literal["auto"] | None = None
    overwrite: bool = False
    initial: Path | None = None  # a model whose weights a new run starts from
    teacher: Path | None = None  # the model that a new run distills; a resumed run has its own
    callbacks: Callbacks = field(default_factory=Callbacks)
    signals: bool = True  # whether Ctrl-C and SIGTERM finish the step and save
    started: float = field(default_factory=time.monotonic)  # the beginning of `train.minutes`

    def note(self, text: str) -> None:
        """Print a note, or log it if the console is quiet: Python shows logged warnings unless they are turned off."""
        if self.console.quiet and parallel.is_main_process():
            is_warning = text.startswith("warning: ")
            LOG.log(logging.WARNING if is_warning else logging.INFO, "%s", in_python(text.removeprefix("warning: ")))
        else:
            print_note(self.console, text)


@dataclass(frozen=True)
class Result:
    """What a run returns: its folder, last step, and validation losses."""

    folder: Path
    step: int
    epoch: int
    loss: float | None  # validation loss at the end
    best_loss: float | None
    is_main_process: bool
    model: Path | None  # the best model, or the newest checkpoint if it has no file; for the main process


def train(request: Request) -> Result:
    """Train a manifest in a run folder, from the beginning or from a checkpoint.

    Processes started by `torchrun` train together; see `jitkit.parallel`. Raises what `Trainer.fit` raises, and InputError,
    ManifestError, ResourceError or UsageError before the first step.
    """
    # The trained weights that a manifest may name are not those of a new run.
    manifest = request.components.manifest.model_copy(update={"weights": Weights()})
    request = replace(request, components=replace(request.components, manifest=manifest))
    folder = RunFolder(request.folder)
    with parallel.process_group(request.device), denormals_are_zero(), ExitStack() as stack:
        stack.enter_context(keep_global_generators(request.device))
        if parallel.is_main_process():
            # Processes of an earlier start may not have ended yet.
            stack.enter_context(folder.locked(wait=RESTART if folder.state.is_of_this_launch() else 0))
            folder.refresh(request.note)
        else:
            request = replace(request, console=Console(quiet=True))
        parallel.barrier()  # the index is up to date
        request = _continued(request, folder)
        stack.enter_context(folder.state.recording())
        trainer = _build_trainer(request, folder, stack)
        reason = "failed"
        try:
            trainer.fit()
            reason = "finished"
        except Stopped:
            reason = "stopped"
            raise
        except BaseException as error:
            trainer.save_interrupted(error)
            raise
        finally:
            trainer.reporter.notify("jitkit_run_finished", step=trainer.state.step, reason=reason)
        is_main_process = parallel.is_main_process()
    state = trainer.state
    epoch = trainer.plan.epoch(state.step)
    model = model_in_run(folder.path) if is_main_process else None
    return Result(folder.path, state.step, epoch, state.loss, state.best_loss, is_main_process, model)


def _continued(request: Request, folder: RunFolder) -> Request:
    """Return the request of processes that `torchrun` has restarted: they continue the run, and delete no checkpoint."""
    if not folder.state.is_of_this_launch() or request.resume == "auto":
        return request
    if request.resume is not None and folder.newest() is None:
        return replace(request, overwrite=True)  # the run began with a checkpoint of another folder, and has saved none
    request.note("torchrun has restarted the run, which implies --resume auto")
    return replace(request, resume="auto", overwrite=False)


def _build_trainer(request: Request, folder: RunFolder, stack: ExitStack) -> Trainer:
    """Return the trainer, ready for its next step. What must be closed at the end is put on `stack`."""
    manifest, manager, note = request.components.manifest, request.manager, request.note
    require_same_manifest(manifest)
    require_mesh(manifest)
    _require_trackers(request)
    if manifest.parallel.remote:
        _prepare_remote(manifest.parallel.remote, request, folder)
    start = find_resume_point(folder, request.resume, overwrite=request.overwrite, manager=manager, note=note)
    if start is not None:
        manifest = with_recorded_draws(with_recorded_length(manifest, start, note), start)
        require_same(manifest, start.manifest, start.path)
    teacher_path = find_teacher(manifest, request.teacher, start)
    with progress_bars(request.console) as progress:
        setup = build_setup(replace(request.components, manifest=manifest), request.device, progress=progress)
        progress("preparing the network", 0, 0)
        if start is not None:
            check_resume(start, setup)
            setup = executed_as_before(start, setup)
        signals = stack.enter_context(stop_signals(catch=request.signals))
        setup = setup.with_network()
        initial = start.checkpoint.data.get("initial") if start else None
        if start is None and request.initial is not None:
            initial = load_initial_weights(setup.pipeline, request.initial, manager)
        teacher = load_teacher(setup.pipeline, teacher_path, start, manager) if teacher_path else None
        setup = setup.with_runtime(note, lambda: signals.received is not None)
        stragglers = Stragglers(setup.pipeline.network, setup.device, note)
        task = _task(setup, teacher, stragglers.lap)
        minutes = start.checkpoint.data.get(MINUTES) if start else None
        if manifest.train.minutes is not None:
            minutes = budget_text(manifest.train.minutes)
            setup = fit_to_minutes(setup, task, started=request.started, note=note)
    origins = {"initial": initial, MINUTES: minutes} | (teacher.origins if teacher else {})
    metadata = run_metadata(setup, versions_in_use(manager), origins)
    schedule, bf16 = setup.pipeline.denoiser.schedule, setup.execution.optimizer_bf16
    state = State.new(setup.pipeline.network, manifest.train, schedule, bf16=bf16)
    if start is not None:
        note_changed_conditions(metadata, start.checkpoint, note)
        state.restore(start.checkpoint, start.path)
    require_same_start(metadata, state.step)
    parallel.barrier()  # other processes may still be reading the folder
    if parallel.is_main_process():
        files = {**metadata.tokenizer, **(teacher.files if teacher else {})}
        _prepare_folder(folder, request, metadata, files, start)
        folder.require_space(state.checkpoint(0, metadata))
    folder.state.begin(state.step)
    trackers = trackers_of(manifest, Registry(manager))
    before = folder.listing() if trackers else set()
    reporter = Reporter(folder.path, trackers, manager, note)
    stack.callback(reporter.close)
    if trackers and parallel.is_main_process():
        folder.claim(dict.fromkeys(folder.listing() - before, "tracker"))
    announce(request.folder, setup, state, metadata, note)
    reporter.notify("jitkit_run_started", pipeline=setup.pipeline)
    shown = stack.enter_context(display(request.console, setup.plan.num_steps, setup.plan.num_epochs))
    saver = Saver(setup, state, metadata, folder, reporter, request.callbacks, note)
    return Trainer(
        setup, state, task, metadata, folder, saver, reporter, shown, signals, stragglers, note, request.callbacks
    )


def _require_trackers(request: Request) -> None:
    """Raise ResourceError if the package of a tracker is not installed, before a run is begun or deleted."""
    if parallel.is_main_process():
        for tracker in trackers_of(request.components.manifest, Registry(request.manager)):
            getattr(tracker, "require", lambda: None)()


def _prepare_remote(url: str, request: Request, folder: RunFolder) -> None:
    """Download a later checkpoint than those in the folder if the run is to continue, and refuse a run at the URL if not."""
    if parallel.is_main_process():
        if request.resume == "auto":
            download_newer(folder, url, request.note)
        elif request.overwrite:
            RemoteCheckpoints(url).prune(0)
        else:
            require_unused(url)
    parallel.barrier()


def _prepare_folder(
    folder: RunFolder, request: Request, metadata: RunMetadata, files: Mapping[str, bytes], start: ResumePoint | None
) -> None:
    """Prepare the folder for this run; see `RunFolder.begin`."""
    trackers = trackers_of(request.components.manifest, Registry(request.manager))
    written = [name for tracker in trackers for name in getattr(tracker, "files", ())]
    checkpoint = start.checkpoint if start else None
    folder.begin(metadata.manifest, files, request.note, start=checkpoint, clear=request.overwrite, trackers=written)
    if start is not None:
        keep_best(folder, start)
        prune_checkpoints(folder, request.components.manifest.train.keep, request.note)  # what a crash left undone


def _task(setup: TrainingSetup, teacher: KeptTeacher | None, lap: Lap) -> TrainingTask:
    student, manifest = setup.pipeline.denoiser.as_trained(), setup.components.manifest
    if teacher is None or manifest.teacher is None:
        batches = Prefetcher.of_training(setup.batch, student.schedule, setup.device)
        return DenoisingTask(setup.train, student, batches, setup.validation_tokens(), setup.device, lap)
    other = teacher.run_like(setup.execution).denoiser
    distillation = Distillation(student, other, setup.pipeline.sampler.steps, manifest.teacher.steps)
    return DistillationTask(setup.train, distillation, setup.device)
