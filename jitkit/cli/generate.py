"""`jitkit generate`: sample texts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitkit.cli.console import err, note, out, print_json, show_progress
from jitkit.cli.options import MODEL, DeviceOption, JsonOption, SetOption, check_settings
from jitkit.errors import UsageError, visible
from jitkit.output import loss
from jitkit.terminal import Terminal, is_interactive

if TYPE_CHECKING:
    from jitkit.pictures.recorder import Snapshot
    from jitkit.pipeline import Generated, KnownTokens, Pipeline

BATCH_SIZE = 16  # maximum number of texts sampled together


def generate(
    model: Annotated[str | None, typer.Argument(help=MODEL)] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Alternative to MODEL.")] = None,
    num: Annotated[int, typer.Option("-n", "--num", min=1, help="Number of texts.")] = 1,
    prompt: Annotated[str | None, typer.Option(help="Text to continue.")] = None,
    infill: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Text with gaps to fill: [[...]], or [[12]] for 12 tokens.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of sampling steps. Default: the manifest's.")] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**62, help="Seed of the first text. It increases by 1 for each text.")
    ] = 0,
    folder: Annotated[
        Path | None, typer.Option("--image", metavar="DIR", help="Save each text as an image and a film strip.")
    ] = None,
    gif: Annotated[bool, typer.Option("--gif", help="With --image: also save an animation.")] = False,
    font: Annotated[Path | None, typer.Option(help="Font file for film strips.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Watch the noise turn into text (needs a terminal).")] = False,
    settings: SetOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Generate texts. The same seed gives the same text.

    Example: jitkit generate run/jit-nano/best_model.pth -n 3 --seed 7 --image pictures
    """
    name = _one_of(model, checkpoint, prompt, infill)
    check_settings(settings or ())
    if gif and folder is None:
        raise UsageError("--gif without --image", "--image DIR", field="--gif")
    if watch and not is_interactive(err):
        raise UsageError("stderr that is not a terminal", "a terminal", field="--watch")
    from jitkit.checkpoints.open import find_model, load_pipeline
    from jitkit.execution.device import find_device
    from jitkit.pictures.sample_files import write_pictures
    from jitkit.progress import Counter

    path = find_model(name)
    pipeline = load_pipeline(path, find_device(device), overrides=settings or (), note=note)
    known = _known(pipeline, prompt, infill)
    steps = steps or pipeline.sampler.steps
    texts: list[dict[str, Any]] = []
    batch = 1 if watch else pipeline.images_at_once(BATCH_SIZE)
    recorded = watch or folder is not None
    with show_progress(hidden=watch) as progress:
        counter = Counter(progress, "sampling", num * steps)
        for start in range(0, num, batch):
            seeds = range(seed + start, seed + min(start + batch, num))
            on_step = counter.per_step(len(seeds))
            results, snapshots = _sample(pipeline, seeds, known, steps, on_step, watch=watch, recorded=recorded)
            documents = [_text_document(pipeline, result) for result in results]
            if folder:
                paths = write_pictures(pipeline, results, snapshots, folder, font_file=font, animated=gif, warn=note)
                documents = [{**document, **path} for document, path in zip(documents, paths, strict=True)]
            texts += documents
            if not as_json:
                with progress.paused():
                    _print(results, numbered=num > 1)
                if loss(sys.stdout) and folder is None:
                    return  # nobody reads the other texts
    if as_json:
        header = {"schema": "jitkit.generate/1", "checkpoint": str(path), "model": pipeline.manifest.id}
        options = {"prompt": prompt, "infill": infill, "steps": steps, "set": settings or []}
        print_json({**header, **options, "texts": texts})


def _one_of(model: str | None, checkpoint: str | None, prompt: str | None, infill: str | None) -> str:
    name = model or checkpoint
    if not name or (model and checkpoint):
        found = "two models" if name else "no model"
        raise UsageError(found, "one: a checkpoint, a run folder, an exported folder or a zoo id", field="MODEL")
    if prompt is not None and infill is not None:
        raise UsageError("--prompt and --infill", "one of them", field="--infill", hint="A prompt is 'TEXT[[...]]'.")
    return name


def _known(pipeline: Pipeline, prompt: str | None, infill: str | None) -> KnownTokens | None:
    """Return the known tokens, or None without a prompt or template."""
    import torch

    from jitkit.infill import fit_template, parse_template
    from jitkit.pipeline import KnownTokens

    if infill is None:
        return None if prompt is None else pipeline.prefix(prompt)
    tokens, known = fit_template(parse_template(infill), pipeline.tokenizer, pipeline.codec.capacity)
    return KnownTokens(torch.tensor(tokens), torch.tensor(known))


def _sample(
    pipeline: Pipeline,
    seeds: Sequence[int],
    known: KnownTokens | None,
    steps: int,
    on_step: Callable[[object], None],
    *,
    watch: bool,
    recorded: bool,
) -> tuple[list[Generated], list[Snapshot]]:
    """Return the texts for these seeds, and a snapshot per step if `recorded`, which costs a device copy per step."""
    from jitkit.cli.live_view import live_view
    from jitkit.pictures.recorder import Recorder

    snapshots: list[Snapshot] = []
    terminal = Terminal(stderr=True, soft_wrap=False)
    view = live_view(terminal, lambda x: pipeline.text_of(pipeline.codec.decode(x)[0])) if watch else nullcontext()
    with view as show:

        def on_snapshot(snapshot: Snapshot) -> None:
            snapshots.append(snapshot)
            if show:
                show(snapshot)

        recorder = Recorder(pipeline.sampler, on_snapshot) if recorded else None
        results = pipeline.generate(seeds, known=known, steps=steps, on_step=on_step, sampler=recorder)
    return results, snapshots


def _text_document(pipeline: Pipeline, result: Generated) -> dict[str, Any]:
    ids, eos = result.tokens.tolist(), pipeline.tokenizer.eos_id
    num_tokens = [*ids, eos].index(eos)
    return {"text": result.text, "seed": result.seed, "num_tokens": num_tokens, "ended": eos in ids}


def _print(results: Sequence[Generated], *, numbered: bool) -> None:
    """Print texts. Escape control characters on a terminal only."""
    for result in results:
        if numbered:
            out.print(f"# seed {result.seed}")
        if sys.stdout.isatty():
            lines = ("\t".join(map(visible, line.split("\t"))) for line in result.text.split("\n"))
            out.print("\n".join(lines))
        else:
            sys.stdout.write(result.text + "\n")
            sys.stdout.flush()
