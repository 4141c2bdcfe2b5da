"""`jitkit encode` and `jitkit decode`: text to images and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jitkit.cli.completion import complete_model
from jitkit.cli.console import out, print_summary, show_progress
from jitkit.cli.options import INPUT, EncodingOption, JsonOption, OverwriteOption, SetOption, out_option, require_new
from jitkit.data.encoding_names import UTF8
from jitkit.errors import UsageError, counted
from jitkit.filesystem import is_folder, stream_number
from jitkit.hub.reference import is_reference
from jitkit.storage.atomic import write_output

if TYPE_CHECKING:
    from jitkit.protocols import Codec, Tokenizer

ModelOption = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        "--manifest",
        "--checkpoint",
        metavar="MODEL|MANIFEST",
        help="Whose tokenizer and codec to use: a model as for `jitkit generate`, a zoo id, or a manifest path.",
        rich_help_panel=INPUT,
        autocompletion=complete_model,
    ),
]


def _readable(text: str) -> Path:
    """Return the path of a text that is read once, as the `parser` of an argument."""
    return Path("/dev/stdin" if text == "-" else text)


def encode(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A text file, or - for standard input.", parser=_readable)
    ],
    output: Annotated[Path, out_option("FOLDER", "A new or empty folder.")],
    model: ModelOption = None,
    encoding: EncodingOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encode a text as numbered PNG images, with the tokenizer and codec of a model.

    Example: jitkit encode novel.txt -m jit-b4 -o album/
    """
    name = _required(model, overrides or [])
    from jitkit.pictures.album import write_album

    tokenizer, codec = _tokenizer_and_codec(name, overrides or [])
    with show_progress() as progress:
        index = write_album(file, output, tokenizer, codec, encoding=encoding or UTF8, progress=progress)
    document = {"schema": "jitkit.encode/1", "folder": str(output), **index.model_dump(exclude={"format"})}
    images = f"{counted(index.num_images, 'image')} of {index.image_size}x{index.image_size}"
    line = f"{output}: {images}, {counted(index.num_tokens, 'token')}, {counted(index.num_bytes, 'byte')}"
    print_summary(document, as_json, lambda: out.print(line))


def decode(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The output folder of `jitkit encode`.")],
    output: Annotated[Path, out_option("FILE", "The text file to write.")],
    model: ModelOption = None,
    overrides: SetOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Decode a text from its images, byte for byte.

    Example: jitkit decode album/ -m jit-b4 -o novel.txt
    """
    name = _required(model, overrides or [])
    require_new([output], overwrite, field="--out")
    from jitkit.pictures.album import read_album

    tokenizer, codec = _tokenizer_and_codec(name, overrides or [])
    with show_progress() as progress:
        data = read_album(folder, tokenizer, codec, progress=progress)
    write_output(output, data)
    if stream_number(output) == sys.stdout.fileno():
        return  # which has the text and nothing else
    document = {"schema": "jitkit.decode/1", "file": str(output), "num_bytes": len(data)}
    print_summary(document, as_json, lambda: out.print(f"{output}: {counted(len(data), 'byte')}"))


def _required(name: str | None, overrides: list[str]) -> str:
    """Return the name of the model or manifest. Raises UsageError if there is none, or if `overrides` would change a model."""
    if not name:
        hint = "Decoding needs the tokenizer and codec that encoded the images."
        raise UsageError("nothing", "a model or manifest, such as -m jit-nano", field="--model", hint=hint)
    if overrides and _is_model(name):
        hint = "A model's own settings are fixed."
        raise UsageError("--set with a model", "--set with a manifest", field="--set", hint=hint)
    return name


def _is_model(name: str) -> bool:
    return Path(name).suffix in {".pth", ".safetensors"} or is_reference(name) or is_folder(name)


def _tokenizer_and_codec(name: str, overrides: list[str]) -> tuple[Tokenizer, Codec]:
    """Return the tokenizer and codec of a manifest or a model."""
    from jitkit.assembly import assemble
    from jitkit.checkpoints.open import open_model
    from jitkit.recipe import open_recipe

    components = open_model(name).components() if _is_model(name) else open_recipe(name, overrides=overrides)
    pipeline = assemble(components, device="meta")  # the network is not needed, so allocate no memory
    return pipeline.tokenizer, pipeline.codec
