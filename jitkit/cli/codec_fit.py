"""`jitkit codec fit`: a codebook for a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitkit.cli.console import DataOption, JsonOption, SetOption, err, out, print_json
from jitkit.errors import UsageError, shown, visible

if TYPE_CHECKING:
    from jitkit.assembly import Components
    from jitkit.codecs.fitting import Ids
    from jitkit.protocols import Tokenizer


def fit(
    manifest: Annotated[str, typer.Argument(help="A zoo id or manifest path, for its text, tokenizer and codec.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The codebook file to write (PNG).")],
    numbers: Annotated[
        int,
        typer.Option(
            min=0, max=1024, help="Semantic values per codeword: coordinates in which similar tokens are close."
        ),
    ] = 12,
    order: Annotated[
        str, typer.Option(help="How codewords are assigned to tokens: semantic, by frequency, or own (by id).")
    ] = "semantic",
    data: DataOption = None,
    overrides: SetOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fit codewords to a text for the codec `table`, so that similar tokens get similar colors.

    The codewords of the manifest's codec are reassigned so that similar tokens get similar codewords, and semantic values
    are added in front. The margin is never below that of the original codec.

    Example: jitkit codec fit jit-nano --data novels/ -o novels.png
    """
    from jitkit.codecs.codebook import TableCodebook, codebook_bytes
    from jitkit.codecs.fitting import ORDERS, assign_codewords, codewords_of, nearest_tokens, prepend_semantic_values
    from jitkit.storage.atomic import write_file

    if order not in ORDERS:
        raise UsageError(shown(order), f"one of {', '.join(ORDERS)}", field="--order")
    if output.exists() and not overwrite:
        raise UsageError("an existing file", "a new name, or --overwrite", file=output, field="--output")
    components, tokenizer, tokens = _tokenize(manifest, data, overrides or [])
    own = codewords_of(components.codec, tokenizer.vocab_size, components.files)
    words = prepend_semantic_values(assign_codewords(own, ORDERS[order](tokens, len(own))), tokens, numbers)
    write_file(output, codebook_bytes(words, tokenizer.fingerprint))
    document = {
        "schema": "jitkit.codec-fit/1",
        "file": str(output),
        "vocab_size": len(words),
        "tokens": len(tokens),
        "pixels_per_token": -(-words.shape[1] // 3),
        "margin": TableCodebook(words).margin,
        "margin_of_codec": TableCodebook(own).margin,
        "alike": [
            {"token": _text_of(tokenizer, token), "nearest": [_text_of(tokenizer, other) for other in others]}
            for token, others in nearest_tokens(words[:, : numbers or None], tokens, num_tokens=8, num_nearest=5)
        ],
    }
    if as_json:
        print_json(document)
    else:
        _print(document)


def _tokenize(name: str, data: Path | None, overrides: list[str]) -> tuple[Components, Tokenizer, Ids]:
    """Return the components of a manifest, its tokenizer, and its training text as a stream of ids."""
    from jitkit.data.shards import prepare
    from jitkit.progress import progress_bars
    from jitkit.recipe import open_recipe

    components = open_recipe(name, data=data, overrides=overrides)
    tokenizer = components.tokenizer.build(components.files)
    with progress_bars(err) as progress:
        prepared = prepare(components.data.build(components.files), tokenizer, progress=progress)
    return components, tokenizer, prepared.train.tokens


def _text_of(tokenizer: Tokenizer, token: int) -> str:
    """Return the printable text of a token, or its id if it has no text."""
    return visible(tokenizer.decode([token])) or f"id {token}"


def _print(document: dict[str, Any]) -> None:
    out.print(
        f"{document['file']}: {document['vocab_size']:,} codewords of {document['pixels_per_token']} pixels from"
        f" {document['tokens']:,} tokens, margin {document['margin']:.4f} ({document['margin_of_codec']:.4f} before)"
    )
    for row in document["alike"]:
        out.print(f"similar to {row['token']!r}: {', '.join(map(repr, row['nearest']))}")
