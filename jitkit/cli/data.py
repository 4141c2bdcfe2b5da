"""`jitkit data`: tokenize text once, and inspect the result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jitkit.cli.console import out, print_result, print_summary, print_table, show_progress
from jitkit.cli.options import DataOption, JsonOption, ManifestArgument, SetOption, require_manifest
from jitkit.errors import counted
from jitkit.filesystem import read_bytes

if TYPE_CHECKING:
    from jitkit.data.prepared_folder import PreparedData
    from jitkit.data.windows import Windows
    from jitkit.protocols import Tokenizer

EXAMPLE = Path(__file__).parents[1] / "data" / "example.txt"


def prepare(
    manifest: ManifestArgument, data: DataOption = None, overrides: SetOption = None, as_json: JsonOption = False
) -> None:
    """Tokenize the text of a manifest into the cache, for later training.

    Example: jitkit data prepare jit-nano --data novels/
    """
    prepared, windows, _ = _prepared(manifest, data, overrides or [])
    document = {"schema": "jitkit.data-prepare/1", **_facts(prepared, windows)}

    def render() -> None:
        out.print(f"{'already prepared' if prepared.reused else 'prepared'}: {prepared.folder}")
        _print_splits(document)

    print_summary(document, as_json, render)


def inspect(
    manifest: ManifestArgument, data: DataOption = None, overrides: SetOption = None, as_json: JsonOption = False
) -> None:
    """Show the number of documents, tokens and windows per split, and the first window as text.

    Example: jitkit data inspect jit-nano
    """
    prepared, windows, tokenizer = _prepared(manifest, data, overrides or [])
    first = {name: tokenizer.decode(split.tokens([0])[0].tolist()) for name, split in windows.items()}
    document = {"schema": "jitkit.data-inspect/1", **_facts(prepared, windows), "first_window": first}

    def render() -> None:
        _print_splits(document)
        for name, text in first.items():
            out.print(f"\nfirst {name} window:", text, sep="\n")

    print_result(document, as_json, render)


def example() -> None:
    """Print a short story to try jitkit on.

    It was written for jitkit and is in the public domain.

    Example: jitkit data example > story.txt
    """
    sys.stdout.write(read_bytes(EXAMPLE).decode())


def _prepared(name: str, data: Path | None, overrides: list[str]) -> tuple[PreparedData, dict[str, Windows], Tokenizer]:
    """Return the prepared text of a manifest, its windows by split, and the tokenizer."""
    require_manifest(name)
    from jitkit.assembly import build_codec
    from jitkit.recipe import open_recipe, prepared_text

    components = open_recipe(name, data=data, overrides=overrides)
    tokenizer = components.tokenizer.build(components.files)
    length = build_codec(components, tokenizer).capacity
    with show_progress() as progress:
        text = prepared_text(components, tokenizer, length, progress=progress)
    return text.data, {"train": text.train, "validation": text.validation}, tokenizer


def _facts(prepared: PreparedData, windows: dict[str, Windows]) -> dict[str, Any]:
    return {
        "folder": str(prepared.folder),
        "reused": prepared.reused,
        "fingerprint": prepared.fingerprint,
        "tokens_per_window": windows["train"].length,
        "splits": {name: _split(split) for name, split in windows.items()},
    }


def _split(windows: Windows) -> dict[str, Any]:
    stream = windows.stream
    return {
        "documents": stream.num_documents,
        "bytes": stream.num_bytes,
        "tokens": len(stream),
        "bytes_per_token": round(stream.num_bytes / len(stream), 4),
        "windows": windows.per_epoch if stream.split == "train" else len(windows.consecutive),
    }


def _print_splits(document: dict[str, Any]) -> None:
    cells = "{documents:,} {bytes:,} {tokens:,} {bytes_per_token:.2f} {windows:,}"
    rows = [(name, *cells.format_map(row).split()) for name, row in document["splits"].items()]
    print_table(("split", "documents", "bytes", "tokens", "bytes/token", "windows"), rows)
    out.print(f"{counted(document['tokens_per_window'], 'token')} per window")
