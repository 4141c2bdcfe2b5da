"""Arguments and options shared by commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from jitkit.errors import UsageError, shown
from jitkit.kinds import INFERENCE_TABLES, is_among

MODEL = "A checkpoint, a run folder, an exported folder or a zoo id."

ModelArgument = Annotated[str, typer.Argument(help=MODEL)]
ManifestArgument = Annotated[str, typer.Argument(help="A zoo id or manifest path.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a manifest key. Repeatable."),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", "--data-path", "--data_path", help="Text to use: a file, a folder or a quoted glob."),
]


def check_settings(settings: Sequence[str], *tables: str) -> None:
    """Raise UsageError for a `--set` key that would change the network: outside `tables` and the inference tables."""
    allowed = (*tables, *INFERENCE_TABLES)
    for setting in settings:
        key = setting.partition("=")[0].strip()
        if not is_among(key, allowed):
            raise UsageError(shown(key), f"a key of {', '.join(allowed)}, such as sampler.gamma", field="--set")
