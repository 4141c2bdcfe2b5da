"""Other models that a run learns from: initial weights (`--init`), and the teacher of a distillation (`--teacher`)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from jitkit.checkpoints.export import exported_files
from jitkit.checkpoints.open import OpenedModel, open_model
from jitkit.diffusion.process import levels_at
from jitkit.discovery.loader import PluginManager
from jitkit.errors import ManifestError, RefusedError, UsageError, counted
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.runtime_network import RuntimeNetwork
from jitkit.manifest.schema import Manifest
from jitkit.pipeline import Pipeline
from jitkit.protocols import NoiseSchedule
from jitkit.recipe import named_as
from jitkit.storage.exported_folder import README, WEIGHTS
from jitkit.storage.weights import load_into
from jitkit.training.manifest_differences import FORM, PICTURES, require_same
from jitkit.training.resume import ResumePoint
from jitkit.training.run_folder import TEACHER

REPLACED = ("temperature", "evidence")  # settings of the teacher's objective that [teacher] may replace
SHA256 = "teacher_sha256"  # key in a checkpoint's data: the digest of the teacher's weights


def load_initial_weights(pipeline: Pipeline, path: Path, manager: PluginManager) -> str:
    """Load the averaged weights of the model at `path` into a new network; return a description of them.

    Raises ManifestError if they would mean something else here, and InputError if they do not fit.
    """
    model = open_model(path, manager)
    other = model.components().manifest
    require_same(pipeline.manifest, other, path, FORM)
    load_into(pipeline.network, model.weights(), file=path)
    return _described(model, other)


@dataclass(frozen=True)
class KeptTeacher:
    """A teacher and the files by which the run folder keeps it."""

    pipeline: Pipeline
    origins: dict[str, str]  # what a checkpoint records about the teacher
    files: dict[str, bytes]  # by name in the run folder

    def run_like(self, student: ExecutionConfig) -> Pipeline:
        """Return the teacher, run as its student is."""
        network = RuntimeNetwork(self.pipeline.network.eval(), replace(student, recompute=False))
        return self.pipeline.with_network(network)


def find_teacher(manifest: Manifest, model: Path | None, start: ResumePoint | None) -> Path | None:
    """Return the path of the teacher: `model`, or the one in the folder of a resumed run. None without `[teacher]`.

    Raises UsageError if the manifest needs a teacher and none is given.
    """
    if manifest.teacher is None:
        return None
    if start is not None:
        return start.path.parent / TEACHER / WEIGHTS
    if model is None:
        raise UsageError("no model, but [teacher] in the manifest", "the model to learn from", field="--teacher")
    return model


def load_teacher(student: Pipeline, path: Path, start: ResumePoint | None, manager: PluginManager) -> KeptTeacher:
    """Return the teacher at `path`.

    Raises ManifestError if it encodes text as other images than its student or noises them differently, and RefusedError
    if it is not the teacher that a resumed run began with.
    """
    manifest = student.manifest
    model = open_model(path, manager)
    replaced = _replaced_settings(manifest)
    for name, value in replaced.items():
        if not hasattr(model.components().objective, name):
            expected = f"nothing: the objective of {path} has no {name}"
            raise ManifestError(problems=[manifest.source.problem(("teacher", name), f"{value:g}", expected)])
    with named_as({f"objective.{name}": f"teacher.{name}" for name in replaced}):
        overrides = [f"objective.{name}={value}" for name, value in replaced.items()]
        pipeline = model.pipeline(student.device, overrides=overrides)
    require_same(manifest, pipeline.manifest, path, PICTURES)
    _require_same_noise(student.denoiser.schedule, pipeline.denoiser.schedule, manifest, path)
    files = exported_files(model, pipeline, shared=False)
    found = hashlib.sha256(files[WEIGHTS]).hexdigest()
    recorded = found if start is None else start.checkpoint.data.get(SHA256)
    if found != recorded:
        raise RefusedError(found, f"{recorded}, the teacher that the run began with", file=path, field="sha256")
    kept = {f"{TEACHER}/{name}": content for name, content in files.items() if name != README}
    return KeptTeacher(pipeline, {"teacher": _described(model, pipeline.manifest), SHA256: found}, kept)


def _replaced_settings(manifest: Manifest) -> dict[str, float]:
    """Return the settings of the teacher's objective that `[teacher]` replaces, by name."""
    given = {} if manifest.teacher is None else {name: getattr(manifest.teacher, name) for name in REPLACED}
    return {name: value for name, value in given.items() if value is not None}


def _described(model: OpenedModel, manifest: Manifest) -> str:
    return f"{manifest.id}, {counted(model.checkpoint.step, 'step')} on {model.checkpoint.data.get('origin', 'unknown text')}"


def _noise(schedule: NoiseSchedule) -> Tensor:
    """Return the levels and the noise at some times."""
    times = torch.linspace(0, 1, 17)
    noise = (times * schedule.noise_scale)[:, None, None, None]
    return torch.stack(torch.broadcast_tensors(*levels_at(schedule, times), noise))  # type: ignore[no-untyped-call]


def _require_same_noise(student: NoiseSchedule, teacher: NoiseSchedule, manifest: Manifest, path: Path) -> None:
    """Raise ManifestError if the noise at a time differs. The time grids of samplers may differ."""
    ours, theirs = map(_noise, (student, teacher))
    if ours.shape != theirs.shape or not torch.allclose(ours, theirs):
        found, expected = "another path from noise to data", f"the levels and noise_scale of {path}"
        raise ManifestError(problems=[manifest.source.problem(("schedule",), found, expected)])
