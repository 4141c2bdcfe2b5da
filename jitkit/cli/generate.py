"""`jitkit generate`: sample texts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitkit.cli.console import err, note, out, print_json, print_text, show_progress, working
from jitkit.cli.options import (
    INPUT,
    OUTPUT,
    CheckpointOption,
    DeviceOption,
    JsonOption,
    OptionalModel,
    OverwriteOption,
    SetOption,
    check_settings,
    output_path,
    require_model,
    require_new,
)
from jitkit.cli.shared_work import sharing_work
from jitkit.errors import InputError, UsageError
from jitkit.filesystem import is_file
from jitkit.interpreter import collector_paused
from jitkit.output import loss
from jitkit.pictures.file_names import picture_files
from jitkit.storage.atomic import make_folder
from jitkit.terminal import Terminal, is_interactive

if TYPE_CHECKING:
    from jitkit.generated import Generated
    from jitkit.pictures.recorder import Snapshot
    from jitkit.pipeline import Pipeline


def generate(
    model: OptionalModel = None,
    checkpoint: CheckpointOption = None,
    num: Annotated[int, typer.Option("-n", "--num", metavar="N", min=1, help="Number of texts.")] = 1,
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="Text to continue.", rich_help_panel=INPUT)] = None,
    infill: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Text with gaps to fill: [[...]], or [[12]] for 12 tokens.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of sampling steps. Default: the manifest's.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=2**62, help="Seed of the first text. It increases by 1 for each text."),
    ] = 0,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--image",
            metavar="FOLDER",
            parser=output_path,
            help="Save each text as an image and a film strip.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    gif: Annotated[
        bool, typer.Option("--gif", help="With `--image`: also save an animation.", rich_help_panel=OUTPUT)
    ] = False,
    font: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Font file for film strips.", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: OverwriteOption = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Watch the noise turn into text (needs a terminal).", rich_help_panel=OUTPUT),
    ] = False,
    settings: SetOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Generate texts. The same seed gives the same text.

    Example: jitkit generate run/jit-nano -n 3 --image pictures
    """
    name = require_model(model, checkpoint)
    check_settings(settings or ())
    if prompt is not None and infill is not None:
        raise UsageError("--prompt and --infill", "one of them", field="--infill", hint="A prompt is 'TEXT[[...]]'.")
    if watch and not is_interactive(err):
        raise UsageError("stderr that is not a terminal", "a terminal", field="--watch")
    _check_pictures(folder, range(seed, seed + num), font, gif=gif, overwrite=overwrite)
    with collector_paused():
        from jitkit.api.model import BATCH_SIZE, load
    from jitkit.parallel import agreed

    with sharing_work(device) as leads:
        with working("loading the model") as progress:
            loaded = load(name, device, overrides=settings or (), note=note, progress=progress)
        if folder and leads:
            make_folder(folder)  # a place that cannot be written is found before a minute of sampling
        texts: list[dict[str, Any]] = []
        snapshots: list[Snapshot] = []
        with show_progress(hidden=watch) as progress, _viewer(loaded.pipeline, watch and leads) as show:

            def on_snapshot(snapshot: Snapshot) -> None:
                snapshots.append(snapshot)
                if show:
                    show(snapshot)

            for results in loaded.batches(
                num,
                prompt=prompt,
                infill=infill,
                steps=steps,
                seed=seed,
                batch_size=1 if watch else BATCH_SIZE,
                progress=progress,
                on_snapshot=on_snapshot if watch or folder else None,
            ):
                texts += _documents(loaded.pipeline, results, snapshots, folder if leads else None, font, gif)
                snapshots.clear()
                if leads and not as_json:
                    with progress.paused():
                        _print(results, numbered=num > 1)
                if agreed(not as_json and folder is None and loss(sys.stdout) is not None):
                    return  # nobody reads the other texts
    if leads and as_json:
        header = {"schema": "jitkit.generate/1", "checkpoint": str(loaded.path), "model": loaded.id}
        steps = steps or loaded.pipeline.sampler.steps
        options = {"prompt": prompt, "infill": infill, "steps": steps, "set": settings or []}
        print_json({**header, **options, "texts": texts})


def _check_pictures(folder: Path | None, seeds: range, font: Path | None, *, gif: bool, overwrite: bool) -> None:
    """Raise UsageError or InputError for options of pictures that do not fit, and for files that exist."""
    if gif and folder is None:
        raise UsageError("--gif without --image", "--image FOLDER", field="--gif")
    if folder:
        files = (file for seed in seeds for file in picture_files(folder, seed).values())
        require_new(files, overwrite, field="--image")
    if font and not is_file(font):
        raise InputError("no font file", "a font file (.ttf, .otf or .ttc)", file=font, field="--font")


def _viewer(pipeline: Pipeline, watch: bool) -> AbstractContextManager[Callable[[Snapshot], None] | None]:
    """Return a context with a function that shows snapshots on the terminal, or with None unless `watch`."""
    from jitkit.cli.live_view import live_view

    if not watch:
        return nullcontext()
    terminal = Terminal(stderr=True, soft_wrap=False)
    return live_view(terminal, lambda x: pipeline.text_of(pipeline.codec.decode(x)[0]))


def _documents(
    pipeline: Pipeline,
    results: Sequence[Generated],
    snapshots: Sequence[Snapshot],
    folder: Path | None,
    font: Path | None,
    animated: bool,
) -> list[dict[str, Any]]:
    """Return the texts of a batch for JSON, after writing their pictures to `folder` if there is one."""
    from jitkit.pictures.sample_files import write_pictures

    texts = [{name: getattr(result, name) for name in ("text", "seed", "num_tokens", "ended")} for result in results]
    if folder is None:
        return texts
    paths = write_pictures(pipeline, results, snapshots, folder, font_file=font, animated=animated, warn=note)
    return [{**text, **files} for text, files in zip(texts, paths, strict=True)]


def _print(results: Sequence[Generated], *, numbered: bool) -> None:
    for result in results:
        if numbered:
            out.print(f"# seed {result.seed}")
        print_text(result.text)
