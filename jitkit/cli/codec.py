"""`jitkit codec`: which codecs there are, what they are worth, and codewords fitted to a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitkit.cli.console import DataOption, JsonOption, SetOption, err, out, print_json, print_table
from jitkit.errors import ManifestError, UsageError, shown, visible

if TYPE_CHECKING:
    from jitkit.assembly import Components
    from jitkit.codecs.cooccurrence import Ids
    from jitkit.codecs.report import CodecReport
    from jitkit.component import Component
    from jitkit.discovery import PluginManager
    from jitkit.files import Files
    from jitkit.protocols import Tokenizer

app = typer.Typer(help="Compare codecs, and fit codewords to a corpus.", no_args_is_help=True)

MAX_LINES = 6  # colours that are told apart


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
        rows = [
            {"name": codec.name, "summary": codec.summary(), "settings": list(codec.model_fields)} for codec in codecs
        ]
        print_json({"schema": "jitkit.codecs/1", "codecs": rows})
        return
    print_table(("name", "summary"), [(codec.name, codec.summary()) for codec in codecs], align="l")


@app.command()
def inspect(
    targets: Annotated[list[str], typer.Argument(help="Codecs by name, zoo ids or manifests; several are compared.")],
    vocab_size: Annotated[int | None, typer.Option(min=2, help="Ids; 16384 where no manifest says.")] = None,
    image_size: Annotated[int | None, typer.Option(min=1, help="Pixels a side; 64 where no manifest says.")] = None,
    patch_size: Annotated[int | None, typer.Option(min=1, help="Pixels a side; 4 where no manifest says.")] = None,
    overrides: SetOption = None,
    image: Annotated[Path | None, typer.Option("--image", help="Write a picture of the lines, PNG.")] = None,
    num_tokens: Annotated[int, typer.Option(min=1, help="Tokens measured at each level of noise.")] = 4096,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of tokens and noise.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure codecs: margin, token accuracy against noise, and the contextless line that a model must beat.

    A codec by name is measured under the default schedule; `--set codec.numbers=24` and `--set schedule.noise_scale=3`
    change settings as in a manifest.

    Example: jitkit codec inspect digits code --vocab-size 258 --image codecs.png
    """
    from jitkit.discovery import create_plugin_manager
    from jitkit.pictures.codec_plot import draw_reports

    if image is not None and len(targets) > MAX_LINES:
        raise UsageError(f"{len(targets)} codecs", f"at most {MAX_LINES} in one picture", field="--image")
    manager = create_plugin_manager()
    sizes = {"vocab_size": vocab_size, "image_size": image_size, "patch_size": patch_size}
    reports = [_report(target, sizes, overrides or [], manager, num_tokens, seed) for target in targets]
    if image is not None:
        from jitkit.storage.atomic import atomic_write

        with atomic_write(image) as file:
            draw_reports(reports).save(file, "PNG")
    if as_json:
        print_json({"schema": "jitkit.codec-inspect/1", "codecs": [report.as_json() for report in reports]})
    else:
        _print(reports)


@app.command()
def fit(
    manifest: Annotated[str, typer.Argument(help="A zoo id or a path: its text, tokenizer and codec.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The codebook to write, PNG.")],
    numbers: Annotated[
        int, typer.Option(min=0, max=1024, help="Semantic numbers a token: between which others it stands.")
    ] = 12,
    order: Annotated[
        str, typer.Option(help="Whom the codec's codewords are dealt out to: semantic, frequency, or own (by id).")
    ] = "semantic",
    data: DataOption = None,
    overrides: SetOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fit codewords to a text, for the codec `table`: like tokens get like colours.

    The codewords of the manifest's own codec are dealt out so that like tokens get near ones, and semantic numbers are
    put before them; so the margin is never below that codec's.

    Example: jitkit codec fit jit-nano --data novels/ -o novels.png
    """
    from jitkit.codecs.codebook import TableCodebook
    from jitkit.codecs.codebook_file import codebook_bytes
    from jitkit.codecs.fitting import assign_codewords, codewords_of, nearest_tokens, prepend_semantic_values
    from jitkit.codecs.token_order import ORDERS
    from jitkit.storage.atomic import write_file

    if order not in ORDERS:
        raise UsageError(shown(order), f"one of {', '.join(ORDERS)}", field="--order")
    if output.exists() and not overwrite:
        raise UsageError("an existing file", "a new name, or --overwrite", file=output, field="--output")
    components, tokenizer, tokens = _corpus(manifest, data, overrides or [])
    own = codewords_of(components.codec, tokenizer.vocab_size, components.files)
    words = prepend_semantic_values(assign_codewords(own, ORDERS[order](tokens, len(own))), tokens, numbers)
    write_file(output, codebook_bytes(words, tokenizer.fingerprint))
    document = {
        "schema": "jitkit.codec-fit/1",
        "file": str(output),
        "vocab_size": len(words),
        "tokens": len(tokens),
        "pixels_per_token": -(-words.shape[1] // 3),
        "margin": TableCodebook(words).margin,
        "margin_of_codec": TableCodebook(own).margin,
        "alike": [
            {"token": _spelt(tokenizer, token), "nearest": [_spelt(tokenizer, other) for other in others]}
            for token, others in nearest_tokens(words[:, : numbers or None], tokens, num_tokens=8, num_nearest=5)
        ],
    }
    if as_json:
        print_json(document)
    else:
        _print_fitted(document)


def _corpus(name: str, data: Path | None, overrides: list[str]) -> tuple[Components, Tokenizer, Ids]:
    """Return the parts of a manifest, its tokenizer, and the training split of its text as one stream of ids."""
    from jitkit.data.shards import prepare
    from jitkit.progress import progress_bars
    from jitkit.recipe import open_recipe

    components = open_recipe(name, data=data, overrides=overrides)
    tokenizer = components.tokenizer.build(components.files)
    with progress_bars(err) as progress:
        prepared = prepare(components.data.build(components.files), tokenizer, progress=progress)
    return components, tokenizer, prepared.train.tokens


def _spelt(tokenizer: Tokenizer, token: int) -> str:
    """Return what a token stands for, as it may be printed; its number where it stands for no text."""
    return visible(tokenizer.decode([token])) or f"id {token}"


def _print_fitted(document: dict[str, Any]) -> None:
    out.print(
        f"{document['file']}: {document['vocab_size']:,} codewords of {document['pixels_per_token']} pixels from"
        f" {document['tokens']:,} tokens, margin {document['margin']:.4f} ({document['margin_of_codec']:.4f} before)"
    )
    for row in document["alike"]:
        out.print(f"like {row['token']!r}: {', '.join(map(repr, row['nearest']))}")


def _report(
    target: str, sizes: dict[str, int | None], overrides: list[str], manager: PluginManager, num_tokens: int, seed: int
) -> CodecReport:
    from jitkit.assembly import working_schedule
    from jitkit.codecs.report import inspect_codec
    from jitkit.discovery import Registry
    from jitkit.files import WORKING_FOLDER

    registry = Registry(manager)
    if target in registry.catalog("codec").names():
        codec, schedule = _parts(target, overrides, registry)
        files = WORKING_FOLDER
        known = {"vocab_size": 16384, "image_size": 64, "patch_size": 4}
    else:
        codec, schedule, files, known = _parts_of_manifest(target, overrides, registry)
    known |= {name: size for name, size in sizes.items() if size is not None}
    try:
        built = codec.build(**known, files=files)
    except ManifestError as error:
        found = error.problems[0]
        field = f"codec.{found.field}" if found.field else "codec"
        raise ManifestError(problems=[replace(found, file=target, field=field)]) from error
    return inspect_codec(
        target,
        built,
        working_schedule(schedule, built),
        patch_size=known["patch_size"],
        settings={"use": codec.name, **codec.model_dump(mode="json")},
        schedule_settings={"use": schedule.name, **schedule.model_dump(mode="json")},
        num_tokens=num_tokens,
        seed=seed,
    )


def _parts(name: str, overrides: list[str], registry: Any) -> tuple[Any, Any]:
    """Return a codec by its name, and a schedule, with settings as `--set` says."""
    from jitkit.manifest.problems import validate
    from jitkit.manifest.reader import override
    from jitkit.manifest.source import ManifestSource

    schedule = registry.first_with("schedule", "is_default")
    document: dict[str, Any] = {"codec": {"use": name}, "schedule": {"use": schedule.name if schedule else ""}}
    keys = frozenset(override(document, text) for text in overrides)
    if strange := sorted(document.keys() - {"codec", "schedule"}):
        raise ManifestError(f"table {shown(strange[0])}", "codec or schedule", file="--set")
    source = ManifestSource(f"codec {name}", "", keys)
    parts: list[Component] = []
    for table, values in document.items():
        options = dict(values)
        member = registry.component(table, options.pop("use"))
        parts.append(validate(member, options, source, (table,)))
    return parts[0], parts[1]


def _parts_of_manifest(target: str, overrides: list[str], registry: Any) -> tuple[Any, Any, Files, dict[str, int]]:
    """Return codec, schedule, files and sizes as a manifest says."""
    from jitkit.errors import did_you_mean
    from jitkit.recipe import open_recipe
    from jitkit.zoo.index import find_manifest, zoo_index

    try:
        find_manifest(target, registry.manager)
    except ManifestError as error:
        names = [*registry.catalog("codec").names(), *zoo_index(registry.manager)]
        raise ManifestError(
            "no codec, no zoo id and no file",
            f"one of {', '.join(names)}, or a path",
            file=target,
            hint=did_you_mean(target, names),
        ) from error
    components = open_recipe(target, overrides=overrides, manager=registry.manager)
    sizes = {
        "vocab_size": components.tokenizer.build(components.files).vocab_size,
        "image_size": components.backbone.image_size,
        "patch_size": components.backbone.patch_size,
    }
    return components.codec, components.schedule, components.files, sizes


def _print(reports: Sequence[CodecReport]) -> None:
    for report in reports:
        sizes = f"vocabulary {report.vocab_size}, image_size {report.image_size}, patch_size {report.patch_size}"
        out.print(f"{report.name}: {sizes}, codec {_spelled(report.settings)}, schedule {_spelled(report.schedule)}")
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
    _print_accuracies(names, "sigma {sigma:g}", [report.noise for report in reports])
    out.print("\nToken accuracy of the context-free baseline at time t")
    _print_accuracies(names, "t {t:.2f}", [report.contextless for report in reports])


def _print_accuracies(names: Sequence[str], label: str, accuracies: Sequence[Sequence[dict[str, float]]]) -> None:
    levels = zip(*accuracies, strict=True)
    print_table(
        ["", *names], [[label.format(**rows[0]), *(f"{row['accuracy']:.3f}" for row in rows)] for rows in levels]
    )


def _spelled(settings: dict[str, Any]) -> str:
    """Return settings as words: the name of the part, and in brackets what was set or comes by default."""
    options = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "use" and value is not None)
    return f"{settings['use']} ({options})"
