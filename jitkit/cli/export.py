"""`jitkit export`: a folder to share."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from jitkit.cli.console import print_lines, print_summary, working
from jitkit.cli.options import (
    JsonOption,
    LanguageOption,
    LicenseOption,
    ModelArgument,
    OverwriteOption,
    SamplesOption,
    out_option,
    require_new,
)
from jitkit.storage.exported_folder import SUMS, WEIGHTS


def export(
    model: ModelArgument,
    folder: Annotated[Path, out_option("FOLDER", "The folder to create.")],
    bf16: Annotated[bool, typer.Option("--bf16", help="Store weights in bfloat16, at half the size.")] = False,
    samples: SamplesOption = 3,
    license: LicenseOption = None,
    languages: LanguageOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Export a checkpoint as model.safetensors, manifest.toml, tokenizer, README.md, and SHA256SUMS.

    Example: jitkit export run/jit-nano -o jit-nano
    """
    from jitkit.checkpoints.export import CardOptions, export_model
    from jitkit.checkpoints.open import open_model

    require_new((folder / WEIGHTS, folder / SUMS), overwrite, field="--out")
    card = CardOptions(samples, license, tuple(languages or ()))
    with working("exporting") as progress:
        files = export_model(open_model(model, progress=progress), folder, bf16=bf16, card=card, progress=progress)
    document = {"schema": "jitkit.export/1", "folder": str(folder), "files": files}
    sums = [f"SHA-256 of {name}: {digest}" for name, digest in files.items()]
    lines = [f"wrote {folder}", *sums, f"next: jitkit generate {shlex.quote(str(folder))}"]
    print_summary(document, as_json, lambda: print_lines(lines))
