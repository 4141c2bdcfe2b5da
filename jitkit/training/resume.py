"""Resuming a run: which checkpoint it continues from, and whether text, files, and length still fit it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from jitkit.checkpoints.format import Checkpoint, load_checkpoint
from jitkit.checkpoints.open import OpenedModel
from jitkit.checkpoints.run_index import INDEX, is_run_folder
from jitkit.discovery.loader import PluginManager
from jitkit.errors import InputError, JitkitError, ManifestError, UsageError, counted, shown
from jitkit.execution.config import MUON
from jitkit.execution.precision import has_fast_bf16
from jitkit.files import hint_inside
from jitkit.filesystem import exists, is_file, real_path
from jitkit.manifest.schema import LENGTHS, Manifest
from jitkit.training.plan import Plan
from jitkit.training.retention import SET_ASIDE
from jitkit.training.run_folder import ALWAYS, RunFolder
from jitkit.training.setup import TrainingSetup
from jitkit.training.state import RunMetadata, require_restorable

Note = Callable[[str], None]
MINUTES = "minutes"  # key of a checkpoint's `data`: the time budget that the run began with


class ResumePoint(NamedTuple):
    """The checkpoint that a run continues from, and the resolved manifest that it was trained by."""

    path: Path
    checkpoint: Checkpoint
    manifest: Manifest
    is_early: bool = False  # whether version 0.1 wrote it, which did not record `train.draws` and Muon's precision

    @property
    def folder(self) -> Path:
        """The run folder of the checkpoint."""
        return run_folder_of(self.path)


def run_folder_of(checkpoint: Path) -> Path:
    """Return the run folder of a checkpoint, which may be in a subfolder of those set aside."""
    folder = checkpoint.parent
    return folder.parent if folder.name.startswith(SET_ASIDE) and is_file(folder.parent / INDEX) else folder


def find_resume_point(
    folder: RunFolder, resume: Path | Literal["auto"] | None, *, overwrite: bool, manager: PluginManager, note: Note
) -> ResumePoint | None:
    """Return the checkpoint to continue from; None for a new run.

    "auto" is the newest valid checkpoint of `folder`; `resume` may also be another run's folder. Raises InputError for a
    path that is missing or damaged (a fresh start would lose the run), and UsageError if another run is in `folder`, unless
    `overwrite`.
    """
    if resume is not None and resume != "auto" and not exists(resume):
        raise InputError("no such file", "a checkpoint (.pth) or a run folder", file=resume)
    stays = resume is not None and _is_in(folder.path, resume)
    if stays and overwrite:
        found = "--resume and --overwrite of the same run"
        raise UsageError(found, "one of them, or another folder with --out", file="--overwrite")
    if not stays and not overwrite:
        folder.require_fresh()
    folder.require_own(dict.fromkeys(ALWAYS))
    return None if resume is None else _resume_point(folder, resume, manager, note)


def _resume_point(
    folder: RunFolder, resume: Path | Literal["auto"], manager: PluginManager, note: Note
) -> ResumePoint | None:
    if resume != "auto" and not is_run_folder(resume):
        return open_resume_point(resume, manager)
    start = _newest_valid(folder if resume == "auto" else RunFolder(resume), manager, note)
    if start is None and resume != "auto":
        hint = hint_inside(resume, lambda run: bool(RunFolder(run).checkpoints()))
        raise InputError("a folder without a checkpoint", "a run folder", file=resume, field="--resume", hint=hint)
    if start is None:
        note(f"warning: {folder.path}: no checkpoint to continue from; starting a new run there. Another folder: --out")
    return start


def _is_in(folder: Path, resume: Path | Literal["auto"]) -> bool:
    """Return whether a run that is resumed stays in its folder."""
    return resume == "auto" or real_path(resume if is_run_folder(resume) else resume.parent) == real_path(folder)


def open_resume_point(path: Path, manager: PluginManager) -> ResumePoint:
    """Read a checkpoint and check that a run of its own manifest can continue from it. Raises a JitkitError if not."""
    checkpoint = load_checkpoint(path)
    components = OpenedModel(path, checkpoint, manager).components()
    require_restorable(checkpoint, components, path)
    manifest, train = components.manifest, components.manifest.train
    if "draws" in train.model_fields_set:
        return ResumePoint(path, checkpoint, manifest)
    manifest = manifest.model_copy(update={"train": train.model_copy(update={"draws": "batch"})})
    return ResumePoint(path, checkpoint, manifest, is_early=True)


def _newest_valid(folder: RunFolder, manager: PluginManager, note: Note) -> ResumePoint | None:
    """Return the newest checkpoint that a run can continue from, and name those passed over; None if there is none at all.

    Raises the error of the newest one, with those of the others, if no checkpoint is valid.
    """
    invalid: list[JitkitError] = []
    for path in folder.checkpoints():
        try:
            start = open_resume_point(path, manager)
        except JitkitError as error:
            invalid.append(error)
            note(f"warning: {error}")
        else:
            if invalid:
                note(f"continuing from an older one, {path.name} (step {start.checkpoint.step})")
            return start
    if invalid:
        raise type(invalid[0])(problems=[problem for error in invalid for problem in error.problems])
    return None


def keep_best(folder: RunFolder, start: ResumePoint) -> None:
    """Make sure that a continued run has the best model that its checkpoint knows of, if one of its files still has it.

    It is missing after going back to an earlier checkpoint, in a new folder, and if it was not written before a crash. A
    better one from a validation after Ctrl-C stays.
    """
    wanted, run = start.checkpoint, RunFolder(start.folder)
    current = _readable(folder.best)
    if wanted.best_loss is None or (current and current.loss is not None and current.loss <= wanted.best_loss):
        return
    for path in (run.best, start.path, *run.checkpoints()):
        saved = wanted if path == start.path else _readable(path)
        if saved is not None and saved.loss == wanted.best_loss and saved.step <= wanted.step:
            folder.save_best(replace(saved, optimizer_state_dict=None))
            return


def _readable(path: Path) -> Checkpoint | None:
    """Return the checkpoint in a file; None if it is missing or damaged."""
    with suppress(JitkitError):
        return load_checkpoint(path)
    return None


def with_recorded_draws(manifest: Manifest, start: ResumePoint) -> Manifest:
    """Return the manifest with the `train.draws` of the run, unless it states one itself."""
    if "draws" in manifest.train.model_fields_set:
        return manifest
    return manifest.model_copy(
        update={"train": manifest.train.model_copy(update={"draws": start.manifest.train.draws})}
    )


def with_recorded_length(manifest: Manifest, start: ResumePoint, note: Note) -> Manifest:
    """Return the manifest with the number of steps computed from `minutes` when the run began.

    So a resumed run equals an uninterrupted one, also if `minutes` are not given again. Epochs or steps on the command line
    take precedence.
    """
    train, before, minutes = manifest.train, start.manifest.train, start.checkpoint.data.get(MINUTES)
    given = manifest.source.overridden & {"train.epochs", "train.max_steps"}
    if train.minutes is None and (minutes is None or given):
        return manifest
    length = {key: getattr(before, key) for key in (*LENGTHS, "validate_steps")}
    if minutes is not None:
        steps = counted(before.max_steps or 0, "step")
        note(f"the run keeps the {steps} computed from {minutes} when it began; --set train.max_steps changes that")
    else:
        note("minutes do not change the length of a run that has begun; --set train.max_steps does")
    return manifest.model_copy(update={"train": train.model_copy(update=length)})


def executed_as_before(start: ResumePoint, setup: TrainingSetup) -> TrainingSetup:
    """Return the setup with the precision and compilation that "auto" selected at its start, on the same device."""
    same_length = Plan.of(start.manifest.train, setup.plan.num_windows).num_steps == setup.plan.num_steps
    execution = setup.execution.resumed(setup.train, start.checkpoint.execution, same_length=same_length)
    if start.is_early:  # its Muon took the precision that was faster
        execution = replace(execution, muon_bf16=has_fast_bf16(setup.device))
    elif MUON in start.checkpoint.execution:
        execution = replace(execution, muon_bf16=start.checkpoint.execution[MUON] == "bf16")
    return replace(setup, execution=execution)


def check_resume(start: ResumePoint, setup: TrainingSetup) -> None:
    """Raise ManifestError or InputError if a run of this length, text, and files cannot continue from a checkpoint."""
    manifest, checkpoint = setup.components.manifest, start.checkpoint
    files = setup.pipeline.files()
    for name, content in checkpoint.tokenizer.items():  # first, because they change the tokens and the number of steps
        if files.get(name) != content:
            found, expected = "other content than the run was trained with", f"the content embedded in {start.path}"
            raise InputError(found, expected, file=name, hint="The run folder holds a copy.")
    if setup.text.data.fingerprint != checkpoint.data.get("fingerprint"):
        raise _other_text(start, manifest, setup.text.data.fingerprint)
    if checkpoint.step > setup.plan.num_steps:
        location = ("train", "max_steps" if manifest.train.max_steps else "epochs")
        expected = f"at least the {counted(checkpoint.step, 'step')} that {start.path} has taken"
        problem = manifest.source.problem(location, f"a run of {counted(setup.plan.num_steps, 'step')}", expected)
        raise ManifestError(problems=[problem])


def _other_text(start: ResumePoint, manifest: Manifest, fingerprint: str) -> JitkitError:
    path, expected_path = (one.data.options.get("path") for one in (manifest, start.manifest))
    if path != expected_path:
        found = f"{shown(path)}, which is another text"
        expected = f"the text of {shown(expected_path)}, as in {start.path}"
        return ManifestError(problems=[manifest.source.problem(("data", "path"), found, expected)])
    return InputError(
        f"text with fingerprint {fingerprint[:16]}",
        f"{str(start.checkpoint.data.get('fingerprint'))[:16]}, the text that the run was trained on",
        file=start.path,
        field="data.fingerprint",
        hint="The text or its split has changed since.",
    )


def note_changed_conditions(metadata: RunMetadata, checkpoint: Checkpoint, note: Note) -> None:
    """Print what keeps the continued run from being bit-identical to the uninterrupted one."""
    now = {"threads": str(metadata.threads), **metadata.execution, **metadata.versions}
    then = {"threads": str(checkpoint.threads), **checkpoint.execution, **checkpoint.versions}
    changed = [
        f"{name} {then.get(name, 'nothing')} -> {now.get(name, 'nothing')}"
        for name in sorted(now.keys() | then.keys())
        if now.get(name) != then.get(name) and (name != MUON or name in then)  # version 0.1 did not record it
    ]
    if changed:
        note(f"warning: changed since the checkpoint, so the rest will differ in rounding: {', '.join(changed)}")
