"""`jitkit data`: tokenize text once, and inspect the result."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitkit.cli.console import out, print_result, print_summary, print_table, show_progress
from jitkit.cli.options import (
    DataOption,
    EncodingOption,
    JsonOption,
    ManifestArgument,
    SetOption,
    naming_encoding,
    require_manifest,
    with_encoding,
)
from jitkit.cli.stopping import stopping
from jitkit.errors import UsageError, counted, shown
from jitkit.filesystem import read_bytes

if TYPE_CHECKING:
    from jitkit.assembly import Components
    from jitkit.data.prepare import Part, Unfinished
    from jitkit.data.windows import Windows
    from jitkit.protocols import Tokenizer
    from jitkit.recipe import PreparedText

EXAMPLE = Path(__file__).parents[1] / "data" / "example.txt"


def prepare(
    manifest: ManifestArgument,
    data: DataOption = None,
    encoding: EncodingOption = None,
    overrides: SetOption = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, metavar="N", help="Processes that tokenize a corpus of many blocks.")
    ] = 1,
    part: Annotated[
        str | None,
        typer.Option(
            "--part", metavar="I/N", help="Only part I of N, on one of N machines that share the cache folder."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tokenize the text of a manifest into the cache, for later training.

    Example: jitkit data prepare jit-nano --data novels/
    """
    chosen = None if part is None else _part(part)
    components, tokenizer, length = _opened(manifest, data, encoding, overrides)
    from jitkit.data.prepare import Unfinished
    from jitkit.recipe import prepared_part, prepared_text

    with (
        stopping("Stopped. Repeat the command to go on: finished shards of a corpus are kept."),
        show_progress() as progress,
    ):
        if chosen is None:
            text = prepared_text(components, tokenizer, length, progress=progress, workers=workers, refresh=True)
        else:
            done = prepared_part(components, tokenizer, length, chosen, progress=progress, workers=workers)
            if isinstance(done, Unfinished):
                _print_unfinished(done, chosen, as_json)
                return
            text = done
    document = {"schema": "jitkit.data-prepare/1", **_facts(text)}

    def render() -> None:
        out.print(f"{'already prepared' if text.data.reused else 'prepared'}: {text.data.folder}")
        _print_splits(document)

    print_summary(document, as_json, render)


def check(
    manifest: ManifestArgument,
    data: DataOption = None,
    encoding: EncodingOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read the prepared text of a manifest and its corpus, and report any damage or change.

    Example: jitkit data check jit-nano --data novels/
    """
    components, tokenizer, length = _opened(manifest, data, encoding, overrides)
    from jitkit.recipe import checked_text

    with show_progress() as progress:
        checked = checked_text(components, tokenizer, length, progress=progress)
    facts = {"folder": str(checked.folder), "shards": checked.num_shards, "files": checked.num_files}
    shards, files = counted(checked.num_shards, "shard"), counted(checked.num_files, "file")
    line = f"{checked.folder}: {shards} intact" + (f", {files} of the corpus unchanged" if checked.num_files else "")
    print_result({"schema": "jitkit.data-check/1", **facts}, as_json, lambda: out.print(line))


def inspect(
    manifest: ManifestArgument,
    data: DataOption = None,
    encoding: EncodingOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the number of documents, tokens, and windows per split, and the first window as text.

    Example: jitkit data inspect jit-nano
    """
    components, tokenizer, length = _opened(manifest, data, encoding, overrides)
    from jitkit.recipe import prepared_text

    with show_progress() as progress:
        text = prepared_text(components, tokenizer, length, progress=progress)
    first = {name: tokenizer.decode(split.tokens([0])[0].tolist()) for name, split in _windows(text).items()}
    document = {"schema": "jitkit.data-inspect/1", **_facts(text), "first_window": first}

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


def _opened(
    name: str, data: Path | None, encoding: str | None, overrides: list[str] | None
) -> tuple[Components, Tokenizer, int]:
    """Return the components of a manifest, its tokenizer, and the number of tokens in a window."""
    require_manifest(name)
    from jitkit.assembly import build_codec
    from jitkit.recipe import open_recipe

    with naming_encoding(encoding):
        components = open_recipe(name, data=data, overrides=with_encoding(overrides, encoding))
    tokenizer = components.tokenizer.build(components.files)
    return components, tokenizer, build_codec(components, tokenizer).capacity


def _part(text: str) -> Part:
    from jitkit.data.prepare import Part

    found = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,8})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise UsageError(shown(text), "I/N with I from 1 to N, such as 1/4", field="--part")
    return Part(int(found[1]), int(found[2]))


def _print_unfinished(done: Unfinished, part: Part, as_json: bool) -> None:
    """Print that a part is done, and how many shards other parts have to make."""
    facts = {"folder": str(done.folder), "part": f"{part.number}/{part.total}"}
    document = {"schema": "jitkit.data-part/1", **facts, "shards": done.num_made, "shards_in_all": done.num_shards}
    line = f"part {part.number}/{part.total} is done: {done.num_made} of {counted(done.num_shards, 'shard')} so far"
    print_summary(document, as_json, lambda: out.print(line))


def _windows(text: PreparedText) -> dict[str, Windows]:
    return {"train": text.train, "validation": text.validation}


def _facts(text: PreparedText) -> dict[str, Any]:
    return {
        "folder": str(text.data.folder),
        "reused": text.data.reused,
        "fingerprint": text.data.fingerprint,
        "tokens_per_window": text.length,
        "shards": text.data.num_shards,
        "splits": {name: _split(split) for name, split in _windows(text).items()},
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
