"""`jitkit encode` and `jitkit decode`: text to images and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jitkit.cli.console import out, print_summary, show_progress
from jitkit.cli.options import JsonOption, OverwriteOption, SetOption, output_path, require_new
from jitkit.errors import UsageError, counted
from jitkit.filesystem import stream_number
from jitkit.storage.atomic import write_output

if TYPE_CHECKING:
    from jitkit.protocols import Codec, Tokenizer

ManifestOption = Annotated[
    str | None, typer.Option("--manifest", "-m", help="Zoo id or manifest path, for tokenizer and codec.")
]
CheckpointOption = Annotated[str | None, typer.Option("--checkpoint", help="A model instead of a manifest.")]


def encode(
    file: Annotated[Path, typer.Argument(help="A UTF-8 text file.")],
    output: Annotated[Path, typer.Option("--output", "-o", parser=output_path, help="A new or empty folder.")],
    manifest: ManifestOption = None,
    checkpoint: CheckpointOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encode a text as numbered PNG images, with the tokenizer and codec of a model.

    Example: jitkit encode novel.txt --manifest jit-b4 -o album/
    """
    from jitkit.pictures.album import write_album

    tokenizer, codec = _tokenizer_and_codec(manifest, checkpoint, overrides or [])
    with show_progress() as progress:
        index = write_album(file, output, tokenizer, codec, progress=progress)
    document = {"schema": "jitkit.encode/1", "folder": str(output), **index.model_dump(exclude={"format"})}
    images = f"{counted(index.num_images, 'image')} of {index.image_size}x{index.image_size}"
    line = f"{output}: {images}, {counted(index.num_tokens, 'token')}, {counted(index.num_bytes, 'byte')}"
    print_summary(document, as_json, lambda: out.print(line))


def decode(
    folder: Annotated[Path, typer.Argument(help="The output folder of `jitkit encode`.")],
    output: Annotated[Path, typer.Option("--output", "-o", parser=output_path, help="The text file to write.")],
    manifest: ManifestOption = None,
    checkpoint: CheckpointOption = None,
    overrides: SetOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Decode a text from its images, byte for byte.

    Example: jitkit decode album/ --manifest jit-b4 -o novel.txt
    """
    require_new([output], overwrite, field="--output")
    from jitkit.pictures.album import read_album

    tokenizer, codec = _tokenizer_and_codec(manifest, checkpoint, overrides or [])
    with show_progress() as progress:
        data = read_album(folder, tokenizer, codec, progress=progress)
    write_output(output, data)
    if stream_number(output) == sys.stdout.fileno():
        return  # which has the text and nothing else
    document = {"schema": "jitkit.decode/1", "file": str(output), "num_bytes": len(data)}
    print_summary(document, as_json, lambda: out.print(f"{output}: {counted(len(data), 'byte')}"))


def _tokenizer_and_codec(manifest: str | None, checkpoint: str | None, overrides: list[str]) -> tuple[Tokenizer, Codec]:
    """Return the tokenizer and codec of a manifest or a model."""
    from jitkit.assembly import assemble
    from jitkit.checkpoints.open import open_model
    from jitkit.recipe import open_recipe

    if (manifest is None) == (checkpoint is None):
        found = "both --manifest and --checkpoint" if manifest else "neither --manifest nor --checkpoint"
        raise UsageError(found, "one of them", hint="Decoding needs the tokenizer and codec that encoded the images.")
    if checkpoint is not None and overrides:
        hint = "A model's own settings are fixed."
        raise UsageError("--set with --checkpoint", "--set with --manifest", hint=hint)
    if checkpoint is not None:
        components = open_model(checkpoint).components()
    else:
        components = open_recipe(str(manifest), overrides=overrides)
    pipeline = assemble(components, device="meta")  # the network is not needed, so allocate no memory
    return pipeline.tokenizer, pipeline.codec
