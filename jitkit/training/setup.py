"""From what a user asked for to a run that is ready, and to its end."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console

from jitkit import parallel
from jitkit.assembly import Components, assemble
from jitkit.checkpoints.format import versions_in_use
from jitkit.checkpoints.open import OpenedModel, open_model
from jitkit.data.windows import Windows
from jitkit.diffusion.distillation import Distillation
from jitkit.diffusion.loss import diffusion_loss
from jitkit.discovery.loader import PluginManager, create_plugin_manager
from jitkit.discovery.registry import Registry
from jitkit.errors import ManifestError, Stopped
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.denormals import denormals_are_zero
from jitkit.execution.determinism import deterministic
from jitkit.execution.runtime_network import RuntimeNetwork, prepare_network
from jitkit.manifest.schema import Manifest, Weights
from jitkit.manifest.writer import manifest_to_toml
from jitkit.pipeline import Pipeline
from jitkit.progress import display, progress_bars
from jitkit.protocols import Tracker, TrackerComponent
from jitkit.recipe import PreparedText, prepared_text
from jitkit.storage.weights import load_into
from jitkit.training.batches import draw_batch
from jitkit.training.cost.estimate import choose_execution, require_memory
from jitkit.training.metrics_log import MetricsLog, truncate
from jitkit.training.plan import Plan
from jitkit.training.reporting import Reporter
from jitkit.training.resume import (
    ResumePoint,
    find_resume_point,
    note_changed_conditions,
    require_same_data,
    require_same_files,
    require_same_form,
    require_same_recipe,
    require_steps_ahead,
)
from jitkit.training.run_folder import RunFolder
from jitkit.training.run_report import RunReport
from jitkit.training.signals import StopSignals
from jitkit.training.state import RunMetadata, State
from jitkit.training.tasks.denoising import DenoisingTask
from jitkit.training.tasks.distillation import DistillationTask
from jitkit.training.tasks.task import TrainingTask
from jitkit.training.teacher import FACT, KeptTeacher, find_teacher
from jitkit.training.trainer import Trainer


@dataclass(frozen=True)
class Request:
    """What a user asked `jitkit train` for."""

    components: Components
    manager: PluginManager
    folder: Path
    device: torch.device
    console: Console  # for the bar and the remarks; stderr
    resume: Path | Literal["auto"] | None = None
    overwrite: bool = False
    initial: Path | None = None  # a model whose weights a new run starts from; a resumed run has its own
    teacher: Path | None = None  # a model that a new run learns from, as `[teacher]` says; a resumed run has its own

    @property
    def manifest(self) -> Manifest:
        """The resolved manifest, without the trained weights that it may name: those of a new run are its own."""
        return self.components.manifest.model_copy(update={"weights": Weights()})

    def note(self, text: str) -> None:
        """Print a remark."""
        self.console.print(f"jitkit: {text}")


@dataclass(frozen=True)
class Result:
    """Where a run ended."""

    folder: Path
    step: int
    epoch: int
    loss: float | None  # validation loss at the end
    best_loss: float | None
    leads: bool  # whether this process speaks for its group; one alone does


def train(request: Request) -> Result:
    """Train as a manifest says, in a folder of its own, from the beginning or from a checkpoint.

    Alone, or with the processes that `torchrun` has started beside this one, see `jitkit.parallel.process_group`.
    Raises what `Trainer.fit` raises, and InputError, ManifestError, ResourceError or UsageError before the first step.
    """
    folder = RunFolder(request.folder)
    with parallel.process_group(request.device), denormals_are_zero(), ExitStack() as stack:
        if parallel.is_main_process():
            stack.enter_context(folder.locked())
        else:
            request = replace(request, console=Console(quiet=True))
        _require_shares(request.manifest)
        start = find_resume_point(folder, request.resume, overwrite=request.overwrite, note=request.note)
        run = _prepare(request, folder, start, stack)
        notify = run.reporter.notify
        reason = "failed"
        try:
            run.fit()
            reason = "finished"
        except Stopped:
            reason = "stopped"
            raise
        finally:
            notify("jitkit_run_finished", step=run.state.step, reason=reason)
        leads = parallel.is_main_process()
    state = run.state
    return Result(folder.path, state.step, run.plan.epoch(state.step), state.loss, state.best_loss, leads)


def _prepare(request: Request, folder: RunFolder, start: ResumePoint | None, stack: ExitStack) -> Trainer:
    """Return the run. What has to be closed when it ends goes on `stack`."""
    manifest, settings = request.manifest, request.manifest.train
    earlier = None
    if start is not None:
        earlier = OpenedModel(start.path, start.checkpoint, request.manager).components().manifest
        require_same_recipe(manifest, earlier, start)
    pipeline = assemble(request.components, device=request.device)
    initial = _take_weights(request, pipeline) if start is None else start.checkpoint.data.get("initial")
    teacher = find_teacher(pipeline, request.teacher, start, manager=request.manager)
    with progress_bars(request.console) as progress:
        text = prepared_text(request.components, pipeline.tokenizer, pipeline.codec.capacity, progress=progress)
    windows = text.train
    plan = Plan.of(settings, windows.per_epoch)
    if start is not None:
        require_steps_ahead(plan.num_steps, manifest, start)
    signals = stack.enter_context(StopSignals())
    network, execution = executed(
        request.components, pipeline, windows, plan.num_steps, device=request.device, note=request.note
    )
    pipeline = pipeline.with_network(network)
    facts = _facts(request, pipeline, text, execution, initial, teacher)
    state = State.new(pipeline.network, pipeline.denoiser.schedule, settings)
    if start is not None and earlier is not None:
        require_same_data(facts, manifest, earlier, start)
        require_same_files(facts, start)
        note_changed_conditions(facts, start.checkpoint, request.note)
        state.restore(start.checkpoint, start.path)
    parallel.barrier()  # for those who are still looking into the folder
    if parallel.is_main_process():
        _write_folder(folder, start, facts, teacher.files if teacher else {}, overwrite=request.overwrite)
    reporter = _reporter(request, folder)
    stack.callback(reporter.close)
    _describe(request, pipeline, plan, state, facts)
    reporter.notify("jitkit_run_started", pipeline=pipeline)
    return Trainer(
        settings,
        plan,
        state,
        network,
        _lesson(pipeline, teacher, windows, facts, execution),
        facts,
        request.device,
        folder,
        reporter,
        RunReport(folder.path, pipeline, facts),
        stack.enter_context(display(request.console, plan.num_steps, plan.num_epochs)),
        signals,
        request.note,
    )


def _lesson(
    pipeline: Pipeline, teacher: KeptTeacher | None, windows: Windows, facts: RunMetadata, execution: ExecutionConfig
) -> TrainingTask:
    """Return what the run learns from."""
    manifest, student = pipeline.manifest, pipeline.denoiser
    if teacher is None or manifest.teacher is None:
        return DenoisingTask(manifest.train, student, windows, facts.validation_tokens, pipeline.device)
    other = teacher.executed(execution).denoiser
    walks = Distillation(student, other, pipeline.sampler.steps, manifest.teacher.steps)
    return DistillationTask(manifest.train, walks, pipeline.device)


def executed(
    components: Components,
    pipeline: Pipeline,
    windows: Windows,
    num_steps: int,
    *,
    device: torch.device,
    note: Callable[[str], None],
) -> tuple[RuntimeNetwork, ExecutionConfig]:
    """Return the network in the chosen precision, compiled where that works, tried out on the first batch.

    Raises ResourceError for a batch that does not fit into memory.
    """
    settings = components.manifest.train

    def trial(network: torch.nn.Module) -> None:
        denoiser = pipeline.with_network(network).denoiser
        batch = draw_batch(
            0,
            seed=settings.seed,
            batch_size=settings.batch_size,
            windows=windows,
            denoiser=denoiser,
            device=device,
        )
        part, condition = next(batch.parts(settings.accumulate))
        loss = diffusion_loss(denoiser, part, condition=condition).sum()
        with deterministic(device):
            loss.backward()  # type: ignore[no-untyped-call]

    execution = choose_execution(components, pipeline.network, device, num_steps)
    require_memory(components, pipeline.denoiser, execution)
    return prepare_network(pipeline.network, execution, trial, note)


def _take_weights(request: Request, pipeline: Pipeline) -> str | None:
    """Give a new network the weights of the model asked for, if one is; return in words what they are.

    Raises ManifestError where they would mean something else here, InputError where they do not fit.
    """
    path = request.initial
    if path is None:
        return None
    model = open_model(path, request.manager)
    other, checkpoint = model.components().manifest, model.checkpoint
    require_same_form(request.manifest, other, path)
    load_into(pipeline.network, model.weights(), file=path)
    return f"{other.id}, {checkpoint.step} steps on {checkpoint.data.get('origin', 'unknown text')}"


def _facts(
    request: Request,
    pipeline: Pipeline,
    text: PreparedText,
    execution: ExecutionConfig,
    initial: str | None,
    teacher: KeptTeacher | None,
) -> RunMetadata:
    held_out = text.validation
    count = min(request.manifest.train.validation_windows, len(held_out.consecutive))
    spread = [held_out.consecutive[number * len(held_out.consecutive) // count] for number in range(count)]
    source = request.manifest.data
    options = ", ".join(f"{key} = {value}" for key, value in source.options.items())
    return RunMetadata(
        manifest=manifest_to_toml(request.manifest),
        tokenizer=pipeline.files(),
        validation_tokens=held_out.tokens(spread),
        data={"fingerprint": text.data.fingerprint, "origin": f"{source.use} ({options})"}
        | ({"initial": initial} if initial else {})
        | ({"teacher": teacher.words, FACT: teacher.sha256} if teacher else {}),
        threads=torch.get_num_threads(),
        execution=execution.facts() | ({"processes": str(parallel.world_size())} if parallel.world_size() > 1 else {}),
        versions=versions_in_use(request.manager),
    )


def _write_folder(
    folder: RunFolder, start: ResumePoint | None, facts: RunMetadata, teacher: dict[str, bytes], *, overwrite: bool
) -> None:
    if start is None and overwrite:
        folder.clear()
    step, validated = (start.checkpoint.step, start.checkpoint.loss is not None) if start else (0, False)
    truncate(folder.metrics, step, validated=validated)
    folder.write_recipe(facts.manifest, {**facts.tokenizer, **teacher})


def _require_shares(manifest: Manifest) -> None:
    """Raise ManifestError where the parts of a batch cannot be dealt out among the processes of a group."""
    if manifest.train.accumulate % parallel.world_size():
        found, hint = (
            f"a batch in {manifest.train.accumulate}",
            f"--set train.accumulate={parallel.world_size()} makes as many.",
        )
        expected = f"a number of parts that {parallel.world_size()} processes can share"
        raise ManifestError(problems=[manifest.source.problem(("train", "accumulate"), found, expected, hint)])


def _reporter(request: Request, folder: RunFolder) -> Reporter:
    """Return what tells others of the run; in a group, only the leader does."""
    if parallel.is_main_process():
        log = MetricsLog(folder.metrics)
        return Reporter(folder.path, log, _open_trackers(request), request.manager, request.note)
    return Reporter(folder.path, MetricsLog(Path(os.devnull)), {}, create_plugin_manager(autoload=False), request.note)


def _open_trackers(request: Request) -> dict[str, Tracker]:
    registry = Registry(request.manager)
    trackers = {}
    for name in request.manifest.train.trackers:
        component = registry.component("trackers", name)()
        assert isinstance(component, TrackerComponent)  # resolve() has checked the name; the protocol is the kind's law
        trackers[name] = component.build(request.folder)
    return trackers


def _describe(request: Request, pipeline: Pipeline, plan: Plan, state: State, facts: RunMetadata) -> None:
    """Say what runs where, and under which conditions it can be repeated exactly."""
    num_parameters = sum(parameter.numel() for parameter in pipeline.network.parameters())
    execution = facts.execution
    processes = f" in each of {parallel.world_size()} processes" if parallel.world_size() > 1 else ""
    note: Callable[[str], None] = request.note
    note(
        f"{request.manifest.id}: {num_parameters / 1e6:.2f} M parameters on {execution['device']},"
        f" {facts.threads} threads, {execution['precision']}, compile {execution['compile']}"
    )
    note(
        f"data: {facts.data['origin']}, {plan.num_windows} images of {pipeline.codec.capacity} tokens,"
        f" {len(facts.validation_tokens)} held out"
    )
    if "initial" in facts.data:
        note(f"weights: began as {facts.data['initial']}")
    if "teacher" in facts.data:
        note(f"teacher: {facts.data['teacher']}")
    place = f"from step {state.step} to {plan.num_steps}" if state.step else f"{plan.num_steps} steps"
    note(f"{place} of {plan.batch_size} images, {plan.num_epochs} epochs, in {request.folder}")
    note(
        f"seed {request.manifest.train.seed}; equal runs are equal bit for bit on the same kind of machine with"
        f" {facts.threads} threads{processes} and torch {facts.versions['torch']}"
    )
