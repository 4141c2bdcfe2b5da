"""The model that a run learns from: found, checked, and kept in the run's folder so that the run needs nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from jitkit.checkpoints.export import WEIGHTS, exported_files
from jitkit.checkpoints.open import open_model
from jitkit.discovery.loader import PluginManager
from jitkit.errors import ManifestError, RefusedError, UsageError
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.runtime_network import RuntimeNetwork
from jitkit.manifest.schema import Manifest
from jitkit.pipeline import Pipeline
from jitkit.protocols import NoiseSchedule
from jitkit.training.resume import ResumePoint, require_same_pictures
from jitkit.training.run_folder import TEACHER

FACT = "teacher_sha256"  # of its weights, among what a checkpoint says of its data


@dataclass(frozen=True)
class KeptTeacher:
    """A teacher, and how it is named and kept."""

    pipeline: Pipeline
    words: str
    files: dict[str, bytes]  # by their names in the run's folder
    sha256: str

    def executed(self, execution: ExecutionConfig) -> Pipeline:
        """Return the teacher, run as its student is."""
        return self.pipeline.with_network(
            RuntimeNetwork(self.pipeline.network.eval(), replace(execution, recompute=False))
        )


def find_teacher(
    student: Pipeline, model: Path | None, start: ResumePoint | None, *, manager: PluginManager
) -> KeptTeacher | None:
    """Return the teacher of a run: `model`, or the one that a resumed run has in its folder; None for a run without one.

    Raises UsageError where the manifest asks for one and none is named, ManifestError where it draws or noises other
    pictures than its student, RefusedError where it is not the one that the run began with.
    """
    manifest = student.manifest
    if manifest.teacher is None:
        return None
    path = model if start is None else start.path.parent / TEACHER / WEIGHTS
    if path is None:
        raise UsageError("nothing, and [teacher] in the manifest", "the model that teaches", field="--teacher")
    temperature = manifest.teacher.temperature
    overrides = () if temperature is None else (f"objective.temperature={temperature}",)
    opened = open_model(path, manager)
    pipeline = opened.pipeline(student.device, overrides=overrides)
    require_same_pictures(manifest, pipeline.manifest, path)
    _require_same_path(student.denoiser.schedule, pipeline.denoiser.schedule, manifest, path)
    files = exported_files(opened, pipeline)
    found = hashlib.sha256(files[WEIGHTS]).hexdigest()
    expected = found if start is None else start.checkpoint.data.get(FACT)
    if found != expected:
        raise RefusedError(found, f"{expected}, the teacher that the run began with", file=path, field="sha256")
    origin = opened.checkpoint.data.get("origin", "unknown text")
    return KeptTeacher(
        pipeline,
        f"{pipeline.manifest.id}, {opened.checkpoint.step} steps on {origin}",
        {f"{TEACHER}/{name}": content for name, content in files.items() if name != "README.md"},
        found,
    )


def _require_same_path(student: NoiseSchedule, teacher: NoiseSchedule, manifest: Manifest, path: Path) -> None:
    """Raise ManifestError where the noise of a time is not the teacher's. Where the steps lie may differ."""
    times = torch.linspace(0, 1, 17)
    ours, theirs = (
        torch.stack((*schedule.levels(times), times * schedule.noise_scale)) for schedule in (student, teacher)
    )
    if not torch.allclose(ours, theirs):
        problem = manifest.source.problem(
            ("schedule",), "another path from noise to data", f"the levels and noise_scale of {path}"
        )
        raise ManifestError(problems=[problem])
