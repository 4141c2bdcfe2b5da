"""`jitkit codec`: compare codecs, and fit a codebook to a text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from jitkit.cli.completion import complete_codec
from jitkit.cli.console import out, print_result, print_summary, print_table, show_progress, working
from jitkit.cli.options import (
    OUTPUT,
    DataOption,
    EncodingOption,
    JsonOption,
    ManifestArgument,
    OverwriteOption,
    SetOption,
    naming_encoding,
    out_option,
    output_path,
    require_new,
    with_encoding,
)
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.discovery.descriptions import describe
from jitkit.errors import UsageError, counted, visible
from jitkit.storage.atomic import write_output

if TYPE_CHECKING:
    from jitkit.assembly import Components
    from jitkit.codecs.fitting import Ids
    from jitkit.codecs.report import CodecReport
    from jitkit.protocols import Tokenizer

MAX_CURVES = 6  # colors that are easy to tell apart


def list_codecs(as_json: JsonOption = False) -> None:
    """List the codecs.

    Example: jitkit codec list
    """
    codecs = describe(Registry(create_plugin_manager()), "codec")
    rows = [{"name": one.name, "summary": one.summary, "settings": list(one.properties)} for one in codecs]
    cells = [(codec.name, codec.summary) for codec in codecs]
    document = {"schema": "jitkit.codecs/1", "codecs": rows}
    print_result(document, as_json, lambda: print_table(("name", "summary"), cells, align="l"))


def inspect(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="CODEC",
            autocompletion=complete_codec,
            help="One or more codec names, zoo ids, or manifest paths to compare.",
        ),
    ],
    vocab_size: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="Vocabulary size. Default: the manifest's, or 16384.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Image size in pixels. Default: the manifest's, or 64.")
    ] = None,
    patch_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Patch size in pixels. Default: the manifest's, or 4.")
    ] = None,
    overrides: SetOption = None,
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", parser=output_path, rich_help_panel=OUTPUT, help="Plot the accuracies to this PNG file."
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    num_tokens: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of random tokens per noise level.")
    ] = 4096,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=2**63 - 1, help="Seed for tokens and noise.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure codecs: margin, robustness to noise, and the context-free baseline that a model must beat.

    A codec given by name uses the default schedule. `--set codec.numbers=24` and `--set schedule.noise_scale=3` change
    settings as in a manifest.

    Example: jitkit codec inspect digits code --vocab-size 258 --image codecs.png
    """
    if image is not None and len(targets) > MAX_CURVES:
        raise UsageError(counted(len(targets), "codec"), f"at most {MAX_CURVES} in one plot", field="--image")
    require_new([image] if image else [], overwrite, field="--image")
    from jitkit.evaluation.codec_target import find_codec_target
    from jitkit.pictures.codec_plot import draw_reports

    registry = Registry(create_plugin_manager())
    given = {"vocab_size": vocab_size, "image_size": image_size, "patch_size": patch_size}
    sizes = {name: size for name, size in given.items() if size is not None}
    with working("measuring"):
        reports = [
            find_codec_target(target, registry, overrides or (), sizes).inspect(num_tokens=num_tokens, seed=seed)
            for target in targets
        ]
    if image is not None:
        file = io.BytesIO()
        draw_reports(reports).save(file, "PNG")
        write_output(image, file.getvalue())
    document = {"schema": "jitkit.codec-inspect/1", "codecs": [asdict(report) for report in reports]}
    print_result(document, as_json, lambda: _print_reports(reports))


def fit(
    manifest: ManifestArgument,
    output: Annotated[Path, out_option("FILE", "The codebook file to write (PNG).")],
    numbers: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=1024,
            help="Semantic values per codeword: coordinates in which similar tokens are close.",
        ),
    ] = 12,
    order: Annotated[
        Literal["semantic", "frequency", "own"],
        typer.Option(
            metavar="ORDER", help="How codewords are assigned to tokens: semantic, frequency, or own (by id)."
        ),
    ] = "semantic",
    data: DataOption = None,
    encoding: EncodingOption = None,
    overrides: SetOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fit codewords to a text for the codec `table`, so that similar tokens get similar colors.

    The codewords of the manifest's codec are reassigned so that similar tokens get similar codewords, and semantic values
    are added in front. The margin is never below that of the original codec.

    Example: jitkit codec fit jit-nano --data novels/ -o novels.png
    """
    require_new([output], overwrite, field="--out")
    from jitkit.codecs.codebook import TableCodebook, codebook_bytes
    from jitkit.codecs.fitting import ORDERS, assign_codewords, codewords_of, nearest_tokens, prepend_semantic_values

    components, tokenizer, tokens = _tokenize(manifest, data, encoding, overrides)
    with working("fitting codewords"):
        own = codewords_of(components.codec, tokenizer.vocab_size, components.files)
        words = prepend_semantic_values(assign_codewords(own, ORDERS[order](tokens, len(own))), tokens, numbers)
    write_output(output, codebook_bytes(words, tokenizer.fingerprint))
    document = {
        "schema": "jitkit.codec-fit/1",
        "file": str(output),
        "vocab_size": len(words),
        "tokens": len(tokens),
        "pixels_per_token": -(-words.shape[1] // 3),
        "margin": TableCodebook(words).margin,
        "margin_of_codec": TableCodebook(own).margin,
        "alike": [
            {"token": _text_of(tokenizer, token), "nearest": [_text_of(tokenizer, other) for other in others]}
            for token, others in nearest_tokens(words[:, : numbers or None], tokens, num_tokens=8, num_nearest=5)
        ],
    }
    print_summary(document, as_json, lambda: _print_codebook(document))


def _print_reports(reports: Sequence[CodecReport]) -> None:
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
    noise = ("with noise of standard deviation sigma", "sigma {sigma:g}", [report.noise for report in reports])
    baseline = ("of the context-free baseline at time t", "t {t:.2f}", [report.contextless for report in reports])
    for title, label, curves in (noise, baseline):
        out.print(f"\nToken accuracy {title}")
        rows = (
            (label.format_map(row[0]), *(f"{one['accuracy']:.3f}" for one in row)) for row in zip(*curves, strict=True)
        )
        print_table(["", *names], rows)


def _format_settings(settings: dict[str, Any]) -> str:
    """Return "NAME (KEY VALUE, ...)" for the settings of a component."""
    options = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "use" and value is not None)
    return f"{settings['use']} ({options})"


def _tokenize(
    name: str, data: Path | None, encoding: str | None, overrides: list[str] | None
) -> tuple[Components, Tokenizer, Ids]:
    """Return the components of a manifest, its tokenizer, and its training text as a stream of ids."""
    from jitkit.data.prepare import prepare
    from jitkit.recipe import open_recipe

    with naming_encoding(encoding):
        components = open_recipe(name, data=data, overrides=with_encoding(overrides, encoding))
    tokenizer = components.tokenizer.build(components.files)
    with show_progress() as progress:
        prepared = prepare(components.data.build(components.files), tokenizer, progress=progress)
    return components, tokenizer, prepared.train.tokens[:]


def _text_of(tokenizer: Tokenizer, token: int) -> str:
    """Return the printable text of a token, or its id if it has no text."""
    return visible(tokenizer.decode([token])) or f"id {token}"


def _print_codebook(document: dict[str, Any]) -> None:
    out.print(
        f"{document['file']}: {document['vocab_size']:,} codewords of {counted(document['pixels_per_token'], 'pixel')} from"
        f" {counted(document['tokens'], 'token')}, margin {document['margin']:.4f} ({document['margin_of_codec']:.4f} before)"
    )
    for row in document["alike"]:
        out.print(f"similar to {row['token']!r}: {', '.join(map(repr, row['nearest']))}")
