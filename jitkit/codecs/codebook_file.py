"""Codebook files: a PNG whose row i holds the pixels of token i, with the fingerprint of its tokenizer.

Any tool can create one. A file without a fingerprint fits every tokenizer with as many ids as the picture has rows.
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
    """The content of a codebook file."""

    codebook: TableCodebook
    tokenizer_fingerprint: str  # "" if the codebook fits any tokenizer


def codebook_bytes(words: Tensor, tokenizer_fingerprint: str) -> bytes:
    """Return the file of codewords [V, n] uint8. Gray fills the rest of the last pixel."""
    pixels = nn.functional.pad(words, (0, -words.shape[1] % 3), value=GRAY)
    return png_bytes(pixels.view(len(words), -1, 3), {NOTE: tokenizer_fingerprint})


def parse_codebook(data: bytes, vocab_size: int, *, file: object) -> StoredCodebook:
    """Return the codebook in the content of a file, which errors call `file`.

    Raises InputError for a damaged file, a number of rows other than `vocab_size`, or two equal rows; RefusedError for an
    implausible size.
    """
    expected = f"an 8-bit RGB PNG {vocab_size} pixels high, one row per token id"
    picture = parse_picture(data, height=vocab_size, file=file, expected=expected)
    try:
        codebook = TableCodebook(picture.flatten(1))
    except ValueError as error:
        raise InputError(str(error), "a different codeword for each token", file=file) from error
    return StoredCodebook(codebook, read_note(data, NOTE) or "")
