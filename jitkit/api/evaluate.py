"""Evaluation in Python."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from jitkit import parallel
from jitkit.api.model import Model
from jitkit.api.options import Overrides, ShowProgress, arguments_named, given_path, override_texts, shown
from jitkit.checkpoints.open import OpenedModel, open_model
from jitkit.discovery.loader import PluginManager
from jitkit.documents.schemas import Evaluation, Gallery
from jitkit.errors import UsageError
from jitkit.errors import shown as shown_value
from jitkit.evaluation.gallery import gallery_of
from jitkit.evaluation.runner import Scope, evaluate_checkpoint
from jitkit.execution.device import find_device
from jitkit.report.run_page import write_report
from jitkit.storage.atomic import folder_in_use


@arguments_named()
def evaluate(
    model: str | Path | Model | OpenedModel,
    data: str | Path | None = None,
    out: str | Path | None = None,
    *,
    metrics: Sequence[str] = (),
    limit: int | None = None,
    quick: bool = False,
    overrides: Overrides = (),
    device: str | torch.device = "auto",
    progress: ShowProgress = False,
    keep: bool = False,
    note: Callable[[str], None] = warnings.warn,
    manager: PluginManager | None = None,
) -> dict[str, Any]:
    """Evaluate a model on held-out text, and return the report that `jitkit eval --json` prints.

    ::

        report = jitkit.evaluate("run/novel", metrics=["likelihood"], limit=16)

    `model` is whatever `jitkit.load` takes or returns. The text at `data` replaces the held-out windows in the model;
    overrides such as `data.encoding` then state how it is read.
    With `out`, `report.html`, `report.json` and `gallery.json` are written into that folder; otherwise no file is
    written. With `keep`, an interrupted evaluation leaves partial results next to the model, from which the next one
    continues. `note` receives what plugins report. Raises JitkitError.
    """
    if isinstance(metrics, str):
        raise UsageError(shown_value(metrics), "a list of names", field="metrics")
    texts = override_texts(overrides)
    if isinstance(model, Model):
        opened, device, texts = model.opened, model.device, [*model.overrides, *texts]
    else:
        opened = model if isinstance(model, OpenedModel) else open_model(model, manager)
    folder, text = given_path(out, "out"), given_path(data, "data")
    galleries: list[Gallery] = []

    def draw_gallery(*measured: Any) -> None:
        if folder is not None:
            galleries.append(gallery_of(*measured))

    # The folder is created first, to fail before the evaluation if it is not writable.
    with folder_in_use(folder) if folder is not None else nullcontext(), shown(progress) as show:
        report = evaluate_checkpoint(
            opened,
            data=text,
            scope=Scope(limit, quick),
            metrics=metrics,
            overrides=texts,
            device=find_device(str(device)),
            progress=show,
            keep=keep,
            on_measured=draw_gallery,
        )
    run = opened.path.parent
    if folder is not None:
        write_report(Evaluation.model_validate(report), galleries[0], folder, run)
    if parallel.is_main_process():
        opened.manager.notify("jitkit_evaluated", note, folder=folder or run, report=report)
    return report
