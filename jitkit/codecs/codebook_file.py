"""A codebook as a file: a PNG whose row i holds the pixels of token i, with a note of the tokenizer it was made for.

Any tool can paint one; without the note it does for every tokenizer that has as many ids as the picture has rows.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from jitkit.codecs.codebook import TableCodebook
from jitkit.codecs.pixels import GRAY
from jitkit.errors import InputError
from jitkit.storage.png import parse_picture, png_bytes, read_note

NOTE = "jitkit.tokenizer"


class StoredCodebook(NamedTuple):
    """What such a file holds."""

    codebook: TableCodebook
    tokenizer: str  # fingerprint of the one it was made for, "" where it does not say


def codebook_bytes(words: Tensor, tokenizer: str) -> bytes:
    """Return the file of codewords [V, n] uint8; a last pixel that is not full is filled up with grey."""
    pixels = nn.functional.pad(words, (0, -words.shape[1] % 3), value=GRAY)
    return png_bytes(pixels.view(len(words), -1, 3), {NOTE: tokenizer})


def parse_codebook(data: bytes, vocab_size: int, *, file: object) -> StoredCodebook:
    """Return the codebook in the bytes of a file; errors name it `file`.

    Raises InputError for bytes that are damaged, for another number of rows than `vocab_size` and for two equal ones,
    RefusedError for a picture of absurd size.
    """
    expected = f"an 8-bit RGB PNG {vocab_size} pixels high, a row for each id of the tokenizer"
    picture = parse_picture(data, height=vocab_size, file=file, expected=expected)
    try:
        codebook = TableCodebook(picture.flatten(1))
    except ValueError as error:
        raise InputError(str(error), "a codeword of its own for each token", file=file) from error
    return StoredCodebook(codebook, read_note(data, NOTE) or "")
