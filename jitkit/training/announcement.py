"""What a run prints before its first step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jitkit import parallel
from jitkit.documents.rows import FEW_WINDOWS
from jitkit.errors import counted
from jitkit.manifest.schema import Train
from jitkit.training.setup import TrainingSetup
from jitkit.training.state import RunMetadata, State


def announce(
    folder: Path, setup: TrainingSetup, state: State, metadata: RunMetadata, note: Callable[[str], None]
) -> None:
    """Print what runs where, and under which conditions the run reproduces exactly."""
    plan, manifest = setup.plan, setup.components.manifest
    note(
        f"{manifest.id}: {setup.pipeline.num_parameters / 1e6:.2f} M parameters on {metadata.execution['device']}, "
        f"{counted(metadata.threads, 'thread')}, {metadata.execution['precision']}, compile {metadata.execution['compile']}"
    )
    note(
        f"data: {metadata.data['origin']}, {counted(plan.num_windows, 'image')} of {counted(setup.pipeline.codec.capacity, 'token')}, "
        f"{len(metadata.validation_tokens)} held out"
    )
    if short := _short_documents(setup):
        note(short)
    if "initial" in metadata.data:
        note(f"weights: began as {metadata.data['initial']}")
    if "teacher" in metadata.data:
        note(f"teacher: {metadata.data['teacher']}")
    if len(metadata.validation_tokens) < FEW_WINDOWS:
        note(_noisy_validation(len(metadata.validation_tokens), manifest.train))
    note(_length(folder, setup, state.step))
    note(_reproducibility(setup, metadata))


def _short_documents(setup: TrainingSetup) -> str | None:
    """Return a warning if most images of packed documents begin or end in the middle of one that would fit."""
    stream, length = setup.text.train.stream, setup.text.train.length
    mean = len(stream) / max(1, stream.num_documents)
    if not stream.packed or mean > length:
        return None
    return (
        f"warning: documents have {mean:.0f} of the {length} tokens of an image on average, and images hold parts of several; "
        "for one document per image, use --set train.pack=false"
    )


def _length(folder: Path, setup: TrainingSetup, step: int) -> str:
    """Return how many steps are left after `step`, and where their results go."""
    plan = setup.plan
    if step == plan.num_steps:
        longer = f"--set train.max_steps={2 * step}"
        return f"the run in {folder} is already finished, at step {step}; more steps continue it: {longer}"
    steps = f"from step {step} to {plan.num_steps}" if step else counted(plan.num_steps, "step")
    return f"{steps} of {counted(plan.batch_size, 'image')}, {counted(plan.num_epochs, 'epoch')}, in {folder}"


def _reproducibility(setup: TrainingSetup, metadata: RunMetadata) -> str:
    kind = "CPU" if setup.device.type == "cpu" else "GPU"
    threads = counted(metadata.threads, "thread")
    processes = f" in each of {parallel.world_size()} processes" if parallel.world_size() > 1 else ""
    return (
        f"seed {setup.train.seed}; runs reproduce bit for bit on the same {kind} type with {threads}{processes} "
        f"and torch {metadata.versions['torch']}"
    )


def _noisy_validation(num_windows: int, train: Train) -> str:
    """Return a warning about validating on few windows, with what limits their number."""
    limited = num_windows == train.validation_windows
    more = "train.validation_windows limits them" if limited else "a longer text or data.validation_fraction gives more"
    return f"warning: the validation loss of {counted(num_windows, 'window')} is noisy; {more}"
