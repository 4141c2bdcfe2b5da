"""`jitkit push`: upload a model to the Hugging Face Hub."""

from __future__ import annotations

from typing import Annotated

import typer

from jitkit.cli.console import print_lines, print_summary, working
from jitkit.cli.options import JsonOption, LanguageOption, LicenseOption, ModelArgument, SamplesOption
from jitkit.errors import UsageError, shown


def push(
    model: ModelArgument,
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository. It is created if necessary.")],
    message: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Commit message. Default: the model's id and steps.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Create a private repository.")] = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="Store weights in bfloat16, at half the size.")] = False,
    samples: SamplesOption = 3,
    license: LicenseOption = None,
    languages: LanguageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Upload a model to the Hugging Face Hub.

    It uploads what `jitkit export` writes, or an exported folder as it is, with your changes to README.md.
    Log in with `hf auth login`, or set HF_TOKEN.

    Example: jitkit push run/jit-nano ada/jit-nano --license mit --language en
    """
    from jitkit.checkpoints.export import CardOptions, files_to_share
    from jitkit.checkpoints.open import open_model
    from jitkit.hub.client import require_package
    from jitkit.hub.reference import parse_reference
    from jitkit.hub.upload import upload

    reference = parse_reference(name)
    if reference.revision != "main":
        raise UsageError(f"the revision {shown(reference.revision)}", "owner/name", field="OWNER/NAME")
    require_package(reference)  # before the minute that samples take
    card = CardOptions(samples, license, tuple(languages or ()))
    with working("exporting") as progress:
        opened = open_model(model, progress=progress)
        files = files_to_share(opened, bf16=bf16, card=card, progress=progress)
        progress("uploading", 0, 0)
        message = message or f"Upload {opened.components().manifest.id}, {opened.checkpoint.step:,} steps"
        uploaded = upload(files, reference, message=message, private=private)
    commit = uploaded.reference.revision
    document = {
        "schema": "jitkit.push/1",
        "id": reference.id,
        "commit": commit,
        "url": uploaded.url,
        "files": list(files),
    }
    lines = [f"pushed {uploaded.reference}", f"see {uploaded.url}", f"next: jitkit generate {reference}"]
    print_summary(document, as_json, lambda: print_lines(lines))
