"""`jitkit codec list` and `jitkit codec inspect`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitkit.cli.codec_fit import fit
from jitkit.cli.console import JsonOption, SetOption, out, print_json, print_table
from jitkit.errors import UsageError

if TYPE_CHECKING:
    from jitkit.codecs.report import CodecReport

app = typer.Typer(help="Compare codecs, and fit codewords to a text.", no_args_is_help=True)

MAX_CURVES = 6  # colors that are easy to tell apart


def register(root: typer.Typer) -> None:
    """Add the command group."""
    root.add_typer(app, name="codec")


@app.command("list")
def list_codecs(as_json: JsonOption = False) -> None:
    """List the codecs.

    Example: jitkit codec list
    """
    from jitkit.discovery import Registry, create_plugin_manager

    registry = Registry(create_plugin_manager())
    codecs = [registry.component("codec", name) for name in registry.catalog("codec").names()]
    if as_json:
        rows = [{"name": one.name, "summary": one.summary(), "settings": list(one.model_fields)} for one in codecs]
        print_json({"schema": "jitkit.codecs/1", "codecs": rows})
    else:
        print_table(("name", "summary"), [(codec.name, codec.summary()) for codec in codecs], align="l")


@app.command()
def inspect(
    targets: Annotated[
        list[str], typer.Argument(help="One or more codec names, zoo ids or manifest paths to compare.")
    ],
    vocab_size: Annotated[
        int | None, typer.Option(min=2, help="Vocabulary size. Default: the manifest's, or 16384.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Image size in pixels. Default: the manifest's, or 64.")
    ] = None,
    patch_size: Annotated[
        int | None, typer.Option(min=1, help="Patch size in pixels. Default: the manifest's, or 4.")
    ] = None,
    overrides: SetOption = None,
    image: Annotated[Path | None, typer.Option("--image", help="Plot the accuracies to this PNG file.")] = None,
    num_tokens: Annotated[int, typer.Option(min=1, help="Number of random tokens per noise level.")] = 4096,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed for tokens and noise.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure codecs: margin, robustness to noise, and the context-free baseline that a model must beat.

    A codec given by name uses the default schedule. `--set codec.numbers=24` and `--set schedule.noise_scale=3` change
    settings as in a manifest.

    Example: jitkit codec inspect digits code --vocab-size 258 --image codecs.png
    """
    from jitkit.discovery import Registry, create_plugin_manager
    from jitkit.evaluation.codec_target import find_codec_target
    from jitkit.pictures.codec_plot import draw_reports
    from jitkit.storage.atomic import atomic_write

    if image is not None and len(targets) > MAX_CURVES:
        raise UsageError(f"{len(targets)} codecs", f"at most {MAX_CURVES} in one plot", field="--image")
    registry = Registry(create_plugin_manager())
    given = {"vocab_size": vocab_size, "image_size": image_size, "patch_size": patch_size}
    sizes = {name: size for name, size in given.items() if size is not None}
    reports = [
        find_codec_target(target, registry, overrides or (), sizes).inspect(num_tokens=num_tokens, seed=seed)
        for target in targets
    ]
    if image is not None:
        with atomic_write(image) as file:
            draw_reports(reports).save(file, "PNG")
    if as_json:
        print_json({"schema": "jitkit.codec-inspect/1", "codecs": [asdict(report) for report in reports]})
    else:
        _print(reports)


app.command()(fit)


def _print(reports: Sequence[CodecReport]) -> None:
    for report in reports:
        sizes = f"vocab_size {report.vocab_size}, image_size {report.image_size}, patch_size {report.patch_size}"
        codec, schedule = _format_settings(report.settings), _format_settings(report.schedule)
        out.print(f"{report.name}: {sizes}, codec {codec}, schedule {schedule}")
    names = [report.name for report in reports]
    out.print()
    print_table(
        ["", *names],
        [
            ["tokens per image", *(str(report.tokens_per_image) for report in reports)],
            ["tokens per patch", *(f"{report.tokens_per_patch:g}" for report in reports)],
            ["pixels per token", *(str(report.pixels_per_token) for report in reports)],
            ["unused pixels", *(str(report.unused_pixels) for report in reports)],
            ["margin", *(f"{report.margin:.4f}" for report in reports)],
        ],
    )
    out.print("\nToken accuracy with noise of standard deviation sigma")
    levels = zip(*(report.noise for report in reports), strict=True)
    print_table(["", *names], [[f"sigma {rows[0]['sigma']:g}", *map(_accuracy, rows)] for rows in levels])
    out.print("\nToken accuracy of the context-free baseline at time t")
    levels = zip(*(report.contextless for report in reports), strict=True)
    print_table(["", *names], [[f"t {rows[0]['t']:.2f}", *map(_accuracy, rows)] for rows in levels])


def _accuracy(row: dict[str, float]) -> str:
    return f"{row['accuracy']:.3f}"


def _format_settings(settings: dict[str, Any]) -> str:
    """Return "NAME (KEY VALUE, ...)" for the settings of a component."""
    options = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "use" and value is not None)
    return f"{settings['use']} ({options})"
