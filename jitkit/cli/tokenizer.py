"""`jitkit tokenizer`: train and inspect vocabularies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from jitkit.cli.console import out, print_lines, print_result, print_summary, print_table, show_progress, working
from jitkit.cli.options import EncodingOption, JsonOption, OverwriteOption, out_option, require_new, text_path
from jitkit.data.encoding_names import UTF8
from jitkit.data.text_files import find_text_files, read_documents
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.errors import InputError, counted, visible
from jitkit.filesystem import exists
from jitkit.storage.atomic import write_output

if TYPE_CHECKING:
    from jitkit.protocols import Tokenizer


def train(
    texts: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Files, folders, or archives of text (.txt, .md, .jsonl), also compressed, or - for standard input.",
            parser=text_path,
        ),
    ],
    vocab_size: Annotated[int, typer.Option(metavar="N", help="Number of ids, including eos and pad.")],
    output: Annotated[Path, out_option("FILE", "The .tiktoken file to write.")],
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Regular expression that splits text before merging. Default: the pattern of o200k_base.",
        ),
    ] = None,
    encoding: EncodingOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a byte-pair vocabulary and write it as a `.tiktoken` file.

    Example: jitkit tokenizer train novels/ --vocab-size 4096 -o novels-4k.tiktoken
    """
    require_new([output], overwrite, field="--out")
    from jitkit.tokenization.ranks import PATTERN, format_ranks
    from jitkit.tokenization.training import train_pieces

    files = [file for path in texts for file in find_text_files(path)]
    with show_progress() as progress:
        documents = _documents(files, encoding)
        pieces = train_pieces(documents, vocab_size, pattern or PATTERN, progress)
    write_output(output, format_ranks(pieces))
    schema = "jitkit.tokenizer-train/1"
    document = {"schema": schema, "file": str(output), "vocab_size": vocab_size, "texts": len(files)}
    line = (
        f"{output}: {vocab_size:,} ids ({counted(len(pieces), 'piece')}, eos, pad) from {counted(len(files), 'file')}"
    )
    print_summary(document, as_json, lambda: out.print(line))


def inspect(
    tokenizer: Annotated[
        str, typer.Argument(metavar="MANIFEST|FILE", help="A zoo id, manifest path, or .tiktoken file.")
    ],
    text: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Text to tokenize. Repeatable.")] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="File or folder to tokenize, one row each. Repeatable.", parser=text_path),
    ] = None,
    encoding: EncodingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a vocabulary and its statistics on texts: tokens, bytes per token, round trip, first pieces.

    Example: jitkit tokenizer inspect jit-nano --text "It was a dark and stormy night."
    """
    from jitkit.tokenization.report import report

    built = _open_tokenizer(tokenizer)
    texts: dict[str, Any] = {f"text {number}": [content] for number, content in enumerate(text or (), start=1)}
    texts |= {str(path): _documents(find_text_files(path), encoding) for path in data or ()}
    with working("tokenizing"):
        document = {"schema": "jitkit.tokenizer-inspect/1", "tokenizer": tokenizer, **report(built, texts)}
    print_result(document, as_json, lambda: _print(document))


def _documents(files: list[Path], encoding: str | None) -> Iterator[str]:
    for file in files:
        yield from read_documents(file, encoding or UTF8)


def _open_tokenizer(name: str) -> Tokenizer:
    """Return the tokenizer of a manifest or a vocabulary file."""
    from jitkit.files import Files
    from jitkit.protocols import TokenizerComponent
    from jitkit.recipe import open_recipe

    manager, suffix = create_plugin_manager(), Path(name).suffix
    component = Registry(manager).first_with("tokenizer", "file_suffix", suffix) if suffix else None
    if component is None:
        components = open_recipe(name, manager=manager)
        return components.tokenizer.build(components.files)
    if not exists(name):
        raise InputError("no such file", f"a {suffix} file", file=name)
    reader = cast(TokenizerComponent, component.model_validate({"file": name}))
    return reader.build(Files(Path(), allowed=frozenset({name})))


def _print(document: dict[str, Any]) -> None:
    out.print(
        f"{document['vocab_size']:,} ids (eos {document['eos_id']}, pad {document['pad_id']}); longest piece"
        f" {document['longest_piece']!r}, {counted(document['longest_piece_bytes'], 'byte')};"
        f" not valid UTF-8 on their own: {counted(document['pieces_not_utf8_alone'], 'piece')}"
    )
    cells = "{documents:,} {characters:,} {tokens:,} {bytes_per_token:.2f} {tokens_per_character:.3f}"
    rows = [
        (row["name"], *cells.format_map(row).split(), "exact" if row["round_trip"] else "BROKEN")
        for row in document["texts"]
    ]
    if rows:
        columns = ("text", "documents", "characters", "tokens", "bytes/token", "tokens/character", "round trip")
        print_table(columns, rows)
    print_lines(f"{row['name']}: {'|'.join(map(visible, row['sample']))}" for row in document["texts"])
