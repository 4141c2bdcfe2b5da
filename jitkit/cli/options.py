"""Arguments and options shared by commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from jitkit.cli.completion import complete_key, complete_model, is_completing
from jitkit.cli.usage import set_hint
from jitkit.errors import ManifestError, UsageError, shown
from jitkit.filesystem import expanded, is_file, is_folder, stream_number
from jitkit.kinds import INFERENCE_TABLES, is_among

MODEL = "A checkpoint (.pth), a .safetensors file, a run folder, an exported folder, a zoo id, or hf:owner/name."
TEXT_SUFFIXES = {".txt", ".md", ".jsonl", ".csv", ".tsv", ".parquet", ".gz", ".zst", ".zip", ".tar", ".tgz"}
INPUT, OUTPUT, CARD = "Input", "Output", "Model card"  # panels of the help

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL, autocompletion=complete_model)]
OptionalModel = Annotated[str | None, typer.Argument(metavar="MODEL", help=MODEL, autocompletion=complete_model)]
CheckpointOption = Annotated[
    str | None, typer.Option("--checkpoint", metavar="MODEL", help="The same as MODEL.", rich_help_panel=INPUT)
]
ManifestArgument = Annotated[
    str,
    typer.Argument(
        metavar="MANIFEST", help="A zoo id, manifest path, or hf:owner/name.", autocompletion=complete_model
    ),
]
OptionalManifestArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MANIFEST",
        help="A zoo id or manifest path. Default: the manifest of a run that `--resume` names.",
        autocompletion=complete_model,
    ),
]


def text_path(text: str) -> Path:
    """Return the path of a text, as the `parser` of an option: "-" is a copy of standard input, which is read now.

    While the shell completes a line, it is not read: it is the terminal that the user is typing in.
    """
    from jitkit.data.standard_input import NAME, keep_standard_input

    if text != NAME or is_completing():
        return Path(text)
    path = keep_standard_input()
    from jitkit.cli.console import note

    note(f"standard input is kept as {path}")
    return path


def known_encoding(name: str) -> str:
    """Return Python's name of an encoding, as the `parser` of an option. Raises UsageError for an unknown one."""
    from jitkit.data.encoding_names import encoding_named

    try:
        return encoding_named(name)
    except ValueError as error:
        raise UsageError(shown(name), str(error), field="--encoding") from error


DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        "--data-path",
        "--data_path",
        metavar="PATH",
        help="Text to use: a file, a folder, a quoted glob, or - for standard input.",
        parser=text_path,
        rich_help_panel=INPUT,
    ),
]
EncodingOption = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="Encoding of the text, such as windows-1252. Default: UTF-8.",
        parser=known_encoding,
        rich_help_panel=INPUT,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a manifest key. Repeatable.",
        rich_help_panel=INPUT,
        autocompletion=complete_key,
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="DEVICE", help="Device, such as cpu, cuda:1, or mps.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=OUTPUT)]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=OUTPUT)]

SamplesOption = Annotated[
    int,
    typer.Option(
        "--samples", metavar="N", min=0, max=16, help="Number of samples in the model card.", rich_help_panel=CARD
    ),
]
LicenseOption = Annotated[
    str | None,
    typer.Option("--license", metavar="ID", help="License of the weights, such as mit.", rich_help_panel=CARD),
]
LanguageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--language", metavar="CODE", help="Language of the text, such as en. Repeatable.", rich_help_panel=CARD
    ),
]


def require_model(model: str | None, checkpoint: str | None) -> str:
    """Return the one model that is given as an argument or by `--checkpoint`. Raises UsageError for none or two."""
    found = "two models" if model and checkpoint else "no model"
    if not (model or checkpoint) or (model and checkpoint):
        hint = "" if model else "Train one with `jitkit train jit-nano`, or take one from `jitkit zoo list`."
        expected = "one: a checkpoint, a run folder, an exported folder, a zoo id, or hf:owner/name"
        raise UsageError(found, expected, field="MODEL", hint=hint)
    return str(model or checkpoint)


def output_path(text: str) -> Path:
    """Return the path of a file or folder to write, as the `parser` of an option.

    A leading ``~/`` is the user's folder, since shells leave it in ``--out=~/x``.
    """
    return expanded(text)


def out_option(metavar: str, help: str) -> Any:
    """Return the option for where the output goes."""
    return typer.Option(
        "-o", "--out", "--output", metavar=metavar, help=help, parser=output_path, rich_help_panel=OUTPUT
    )


def require_new(files: Iterable[Path], overwrite: bool, *, field: str) -> None:
    """Raise UsageError if a command would replace one of `files`, unless `overwrite`.

    Named pipes, devices, and streams such as ``/dev/stdout`` may always be written to.
    """
    for file in files:
        if is_folder(file):
            raise UsageError("a folder", "the name of a file", file=file, field=field)
        if is_file(file) and stream_number(file) is None and not overwrite:
            raise UsageError("an existing file", "a new name, or --overwrite", file=file, field=field)


def with_encoding(overrides: Sequence[str] | None, encoding: str | None) -> list[str]:
    """Return the overrides of a manifest with that of the encoding of its text."""
    return [*(overrides or ()), *([] if encoding is None else [f'data.encoding="{encoding}"'])]


def naming_encoding(encoding: str | None) -> AbstractContextManager[None]:
    """Return a context in which error messages name the override of `with_encoding` as the option."""
    from jitkit.recipe import named_as

    return named_as({} if encoding is None else {"data.encoding": "--encoding"})


def overrides_with_data(
    settings: Sequence[str] | None, data: Path | None, encoding: str | None, *tables: str
) -> list[str]:
    """Return the overrides of a model and of how the text at `data` is read.

    Raises UsageError for an encoding without a text, and as `check_settings`.
    """
    if encoding is not None and data is None:
        raise UsageError("no text", "--data with the text that has this encoding", field="--encoding")
    check_settings(settings or (), *tables, *(() if data is None else ("data",)))
    return with_encoding(settings, encoding)


def require_manifest(name: str | None) -> None:
    """Raise UsageError for a text that is given as the manifest, and ManifestError for a folder."""
    if name and is_file(Path(name) / "run_state.json"):
        hint = f"To continue the run: jitkit train --resume {shlex.quote(name)}"
        raise ManifestError("a run folder", "a zoo id or a manifest (.toml)", file=name, hint=hint)
    if name and is_folder(Path(name)):
        hint = "A folder of texts follows --data."
        raise ManifestError("a folder", "a zoo id or a manifest (.toml)", file=name, hint=hint)
    if name and Path(name).suffix.lower() in TEXT_SUFFIXES:
        hint = f"The text follows --data: jitkit train jit-nano --data {shlex.quote(name)}"
        raise UsageError(f"a text, {shown(name)}", "a zoo id or a manifest (.toml)", field="MANIFEST", hint=hint)


def check_settings(settings: Sequence[str], *tables: str, option: str = "--set") -> None:
    """Raise UsageError for a key of an `option` that would change the network: outside `tables` and the inference tables."""
    allowed = (*tables, *INFERENCE_TABLES)
    for setting in settings:
        key = setting.partition("=")[0].strip()
        if not is_among(key, allowed):
            expected, hint = f"a key of {', '.join(allowed)}, such as sampler.gamma", set_hint(key, allowed)
            raise UsageError(shown(key), expected, field=option, hint=hint)
