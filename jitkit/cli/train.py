"""`jitkit train`: train a model from a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitkit.cli.completion import complete_model
from jitkit.cli.console import err, print_lines, print_result, print_summary, show_progress
from jitkit.cli.options import (
    INPUT,
    OUTPUT,
    DataOption,
    DeviceOption,
    EncodingOption,
    JsonOption,
    OptionalManifestArgument,
    SetOption,
    out_option,
    require_manifest,
    with_encoding,
)
from jitkit.errors import UsageError, counted
from jitkit.interpreter import collector_paused

if TYPE_CHECKING:
    from jitkit.assembly import Components
    from jitkit.training.run import Result


def train(
    manifest: OptionalManifestArgument = None,
    data: DataOption = None,
    encoding: EncodingOption = None,
    folder: Annotated[Path | None, out_option("FOLDER", "Folder of the run. Default: run/ID.")] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|auto",
            help="Resume from a checkpoint or run folder, or from the latest checkpoint (auto).",
            rich_help_panel=INPUT,
        ),
    ] = None,
    initial: Annotated[
        str | None,
        typer.Option(
            "--init",
            metavar="MODEL",
            help="Start from the weights of this model.",
            rich_help_panel=INPUT,
            autocompletion=complete_model,
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Distill this model into one that samples in fewer steps.",
            rich_help_panel=INPUT,
            autocompletion=complete_model,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="N",
            help="Minutes of training; sets the number of steps. The same as `--set train.minutes=N`.",
        ),
    ] = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Delete an existing run in the folder.", rich_help_panel=OUTPUT)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the size and cost of the run without training.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a model, or resume training.

    Ctrl-C finishes the current step and saves a checkpoint. Use `--resume auto` to continue.

    Example: jitkit train jit-nano --data novels/ --minutes 8
    """
    require_manifest(manifest)
    if resume and overwrite:
        raise UsageError("--resume and --overwrite", "one of them", field="--overwrite")
    with collector_paused():
        from jitkit.api.train import recipe_of, train
    from jitkit.recipe import named_as
    from jitkit.training.place import own_manifest

    options = {"train.minutes": ("--minutes", minutes), "data.encoding": ("--encoding", encoding)}
    settings = [*with_encoding(overrides, encoding), *([] if minutes is None else [f"train.minutes={minutes}"])]
    with named_as({key: option for key, (option, value) in options.items() if value is not None}):
        if dry_run:
            recipe = recipe_of(manifest or own_manifest(resume), data, settings, distilled=teacher is not None)
            _dry_run(recipe, device, as_json)
            return
        result = train(
            manifest,
            data,
            folder,
            overrides=settings,
            device=device,
            resume=resume,
            overwrite=overwrite,
            init=initial,
            teacher=teacher,
            progress=err,
            signals=True,
        )
    if result.is_main_process:
        _print(result, as_json)


def _print(result: Result, as_json: bool) -> None:
    document = {"schema": "jitkit.train/1", "folder": str(result.folder)}
    document |= {name: getattr(result, name) for name in ("step", "epoch", "loss", "best_loss")}
    lines = (
        f"trained to step {result.step}; validation loss {result.loss:.4f}, lowest {result.best_loss:.4f}",
        f"next: jitkit eval --checkpoint {result.model}",
    )
    print_summary({**document, "best_model": str(result.model)}, as_json, lambda: print_lines(lines))


def _dry_run(components: Components, device: str, as_json: bool) -> None:
    from jitkit.execution.device import find_device
    from jitkit.training.budget import budget_text
    from jitkit.training.setup import dry_run

    with show_progress() as progress:
        found = dry_run(components, progress, device=find_device(device))
    estimate, plan, minutes = found.estimate, found.plan, components.manifest.train.minutes
    document: dict[str, Any] = {"schema": "jitkit.train-dry-run/1", "id": components.manifest.id}
    document |= {"num_windows": plan.num_windows, "num_epochs": plan.num_epochs, **estimate.as_json()}
    images = counted(plan.batch_size, "image")
    length = f"{plan.num_steps:,} of {images}, {counted(plan.num_epochs, 'epoch')}"
    total = f", {estimate.run_flops / 1e15:,.3f} PFLOP in total"
    if minutes is not None:  # steps are timed when the run begins
        document |= dict.fromkeys(("num_epochs", "num_steps", "run_flops"))
        length, total = f"as many of {images} as fit into {budget_text(minutes)}", ""
    memory = estimate.memory
    rows = {
        "parameters": f"{estimate.num_parameters:,}",
        "images": f"{plan.num_windows:,} of {counted(estimate.tokens_per_image, 'token')}",
        "steps": length,
        "memory": f"{_size(memory.total)}: the program {_size(memory.program)}, weights {_size(memory.weights)}, "
        f"gradients {_size(memory.gradients)}, optimizer {_size(memory.optimizer)}, "
        f"averages {_size(memory.averages)}, activations {_size(memory.activations + memory.heap)}",
        "checkpoint": f"{_size(estimate.checkpoint_bytes)} on disk, {components.manifest.train.keep} kept",
        "work": f"{estimate.training_flops / 1e9:,.1f} GFLOP per image{total}",
    }
    lines = (f"{name:12}{value}" for name, value in rows.items())
    print_result(document, as_json, lambda: print_lines(lines))


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"
