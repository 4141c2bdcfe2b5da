"""`jitkit data`: tokenize text once, and inspect the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitkit.cli.console import DataOption, JsonOption, SetOption, err, out, print_json, print_table
from jitkit.errors import visible

if TYPE_CHECKING:
    from jitkit.data.shards import PreparedData, TokenStream
    from jitkit.data.windows import Windows
    from jitkit.protocols import Tokenizer

app = typer.Typer(help="Tokenize text, and inspect it as the model sees it.", no_args_is_help=True)

ManifestArgument = Annotated[str, typer.Argument(help="A zoo id or manifest path.", metavar="MANIFEST")]


def register(root: typer.Typer) -> None:
    """Add the command group."""
    root.add_typer(app, name="data")


@app.command()
def prepare(
    manifest: ManifestArgument, data: DataOption = None, overrides: SetOption = None, as_json: JsonOption = False
) -> None:
    """Tokenize the text of a manifest into the cache, for later training.

    Example: jitkit data prepare jit-nano --data novels/
    """
    prepared, windows, _ = _prepared(manifest, data, overrides or [])
    document = {"schema": "jitkit.data-prepare/1", **_facts(prepared, windows)}
    if as_json:
        print_json(document)
        return
    out.print(f"{'already prepared' if prepared.reused else 'prepared'}: {prepared.folder}")
    _print_splits(document)


@app.command()
def inspect(
    manifest: ManifestArgument, data: DataOption = None, overrides: SetOption = None, as_json: JsonOption = False
) -> None:
    """Show the number of documents, tokens and windows per split, and the first window as text.

    Example: jitkit data inspect jit-nano
    """
    prepared, windows, tokenizer = _prepared(manifest, data, overrides or [])
    first = {name: _first(tokenizer, split) for name, split in windows.items()}
    document = {"schema": "jitkit.data-inspect/1", **_facts(prepared, windows), "first_window": first}
    if as_json:
        print_json(document)
        return
    _print_splits(document)
    for name, text in first.items():
        out.print(f"\nfirst {name} window:\n{_safe(text)}")


def _prepared(name: str, data: Path | None, overrides: list[str]) -> tuple[PreparedData, dict[str, Windows], Tokenizer]:
    """Return the prepared text of a manifest, its windows by split, and the tokenizer."""
    from jitkit.assembly import build_codec
    from jitkit.progress import progress_bars
    from jitkit.recipe import open_recipe, prepared_text

    components = open_recipe(name, data=data, overrides=overrides)
    tokenizer = components.tokenizer.build(components.files)
    length = build_codec(components, tokenizer).capacity
    with progress_bars(err) as progress:
        text = prepared_text(components, tokenizer, length, progress=progress)
    return text.data, {"train": text.train, "validation": text.validation}, tokenizer


def _facts(prepared: PreparedData, windows: dict[str, Windows]) -> dict[str, Any]:
    return {
        "folder": str(prepared.folder),
        "reused": prepared.reused,
        "fingerprint": prepared.fingerprint,
        "tokens_per_window": windows["train"].length,
        "splits": {name: _split(split.stream, split) for name, split in windows.items()},
    }


def _split(stream: TokenStream, windows: Windows) -> dict[str, Any]:
    num_tokens = len(stream)
    num_windows = windows.per_epoch if stream.split == "train" else len(windows.consecutive)
    return {
        "documents": stream.num_documents,
        "bytes": stream.num_bytes,
        "tokens": num_tokens,
        "bytes_per_token": round(stream.num_bytes / num_tokens, 4),
        "windows": num_windows,
    }


def _first(tokenizer: Tokenizer, windows: Windows) -> str:
    return tokenizer.decode(windows.tokens([0])[0].tolist())


def _print_splits(document: dict[str, Any]) -> None:
    rows = [
        (
            name,
            *(f"{row[key]:,}" for key in ("documents", "bytes", "tokens")),
            f"{row['bytes_per_token']:.2f}",
            f"{row['windows']:,}",
        )
        for name, row in document["splits"].items()
    ]
    print_table(("split", "documents", "bytes", "tokens", "bytes/token", "windows"), rows)
    out.print(f"{document['tokens_per_window']} tokens per window")


def _safe(text: str) -> str:
    """Return text with control characters escaped, except line ends."""
    return "\n".join(visible(line) for line in text.split("\n"))
