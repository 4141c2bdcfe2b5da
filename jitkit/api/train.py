"""Training in Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from jitkit.api.options import Overrides, arguments_named, console_of, given_path, override_texts
from jitkit.assembly import Components
from jitkit.checkpoints.open import find_model
from jitkit.discovery.loader import PluginManager, create_plugin_manager
from jitkit.execution.device import find_device
from jitkit.manifest.schema import Teacher
from jitkit.recipe import open_recipe
from jitkit.training.callbacks import Callbacks, Values
from jitkit.training.place import own_folder, own_manifest, own_text
from jitkit.training.run import Request, Result
from jitkit.training.run import train as train_request


@arguments_named()
def train(
    manifest: str | Path | None = None,
    data: str | Path | None = None,
    out: str | Path | None = None,
    *,
    overrides: Overrides = (),
    device: str | torch.device = "auto",
    resume: str | Path | None = None,
    overwrite: bool = False,
    init: str | Path | None = None,
    teacher: str | Path | None = None,
    on_step: Callable[[Values], object] | None = None,
    on_validation: Callable[[Values], object] | None = None,
    on_checkpoint: Callable[[Path], object] | None = None,
    progress: bool | Console = False,
    signals: bool = False,
    manager: PluginManager | None = None,
) -> Result:
    """Train a model, or resume training, like `jitkit train`. Return the run's folder, steps, and validation losses.

    ::

        result = jitkit.train("jit-nano", "novel.txt", "run/novel", overrides={"train.max_steps": 200})
        model = jitkit.load(result.folder)

    `manifest` is a zoo id or a manifest file, `data` a text file, a folder, or a glob that replaces its text, and `out`
    the folder of the run (default: that of the checkpoint or run, else ``run/ID``). `resume` is "auto", a checkpoint, or a
    run folder, whose manifest and text are the default.

    `on_step` and `on_validation` receive the line of `metrics.jsonl`, `on_checkpoint` the path of a checkpoint. If one of
    them raises, or on KeyboardInterrupt, the run saves its state and the exception is raised. With `signals`, Ctrl-C and
    SIGTERM instead finish the step, save, and raise `jitkit.errors.Stopped`; this needs the main thread. `progress` prints
    progress and notes to stderr. Raises JitkitError.
    """
    folder, start = given_path(out, "out"), given_path(resume, "resume")
    manifest = own_manifest(resume) if manifest is None else manifest
    manager = manager or create_plugin_manager()
    components = recipe_of(manifest, data, overrides, distilled=teacher is not None, manager=manager)
    return train_request(
        Request(
            components=components,
            manager=manager,
            folder=folder or own_folder(manifest, resume, components.manifest.id),
            device=find_device(str(device)),
            console=progress if isinstance(progress, Console) else console_of(progress),
            resume="auto" if resume == "auto" else start,
            overwrite=overwrite,
            initial=find_model(init, manager) if init else None,
            teacher=find_model(teacher, manager) if teacher else None,
            callbacks=Callbacks(on_step, on_validation, on_checkpoint),
            signals=signals,
        )
    )


def recipe_of(
    manifest: str | Path,
    data: str | Path | None = None,
    overrides: Overrides = (),
    *,
    distilled: bool = False,
    manager: PluginManager | None = None,
) -> Components:
    """Return the components of a run; if it is `distilled`, its manifest has a table `[teacher]`. Raises JitkitError."""
    manager = manager or create_plugin_manager()
    text = given_path(data, "data") or own_text(manifest, manager)
    components = open_recipe(manifest, data=text, overrides=override_texts(overrides), manager=manager)
    if distilled and components.manifest.teacher is None:
        recipe = components.manifest.model_copy(update={"teacher": Teacher()})
        components = replace(components, manifest=recipe)
    return components
