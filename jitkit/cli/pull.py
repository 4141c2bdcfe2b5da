"""`jitkit pull`: download a model from the Hugging Face Hub."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from jitkit.cli.console import note, print_lines, print_summary, working
from jitkit.cli.options import JsonOption, OverwriteOption, out_option, require_new
from jitkit.storage.exported_folder import SUMS, WEIGHTS, read_sums

ReferenceArgument = Annotated[
    str, typer.Argument(metavar="hf:OWNER/NAME", help="The model, optionally with @REVISION.")
]


def pull(
    model: ReferenceArgument,
    folder: Annotated[Path | None, out_option("FOLDER", "Copy the model into this folder.")] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Download a model from the Hugging Face Hub, and print the folder that holds it.

    Every command takes the same name for a model, and downloads it if necessary. HF_TOKEN is the token, if one is needed.

    Example: jitkit pull hf:ada/jit-nano
    """
    from jitkit.checkpoints.export import read_exported_files, write_exported
    from jitkit.checkpoints.open import open_model
    from jitkit.hub.reference import parse_reference

    reference = parse_reference(model)
    if folder is not None:
        require_new((folder / WEIGHTS, folder / SUMS), overwrite, field="--out")
    with working("downloading") as progress:
        home = open_model(str(reference), progress=progress).path.parent
        if folder is not None:
            write_exported(read_exported_files(home), folder)
    commit, place = home.name, folder or home
    document = {"schema": "jitkit.pull/1", "id": reference.id, "revision": reference.revision, "commit": commit}
    print_summary(
        {**document, "folder": str(place), "files": read_sums(home)}, as_json, lambda: print_lines([str(place)])
    )
    if not as_json:
        note(f"next: jitkit generate {shlex.quote(str(reference))}")
