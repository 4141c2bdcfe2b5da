"""Tokenizing documents into one stream of ids, in chunks that fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jitkit.errors import PluginError
from jitkit.protocols import Tokenizer

_TEXT_SIZE = 1 << 18  # characters tokenized at a time
_CHUNK_SIZE = 1 << 20  # minimum number of ids per chunk, except for the last


def text_chunks(text: str, size: int = 1 << 16) -> Iterator[str]:
    """Yield consecutive chunks of at most `size` characters, each cut after its last line end if it has one.

    The regular expressions of tokenizers backtrack over runs of one kind of character, and give up or crash near 10^6 of
    them.
    """
    start = 0
    while len(text) - start > size:
        end = text.rfind("\n", start, start + size) + 1 or start + size
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


class TokenChunk(NamedTuple):
    """Consecutive ids of the stream."""

    ids: npt.NDArray[np.int64]  # [n]
    num_documents: int  # that end in this chunk
    num_bytes: int  # UTF-8 bytes tokenized into this chunk


def token_chunks(
    documents: Iterable[str], tokenizer: Tokenizer, pack_length: int | None = None
) -> Iterator[TokenChunk]:
    """Yield the ids of `documents`, eos after each; with `pack_length`, pad each document to a multiple of it.

    Raises PluginError when the tokenizer returns an id outside [0, vocab_size).
    """
    pending: list[npt.NDArray[np.int64]] = []
    num_ids = num_documents = num_bytes = 0
    for document in documents:
        length = 1
        for text in text_chunks(document, _TEXT_SIZE):
            ids = np.array(tokenizer.encode(text), dtype=np.int64)
            _check(ids, tokenizer)
            pending.append(ids)
            length += len(ids)
            num_ids += len(ids)
            num_bytes += len(text.encode())
            if num_ids >= _CHUNK_SIZE:
                yield TokenChunk(np.concatenate(pending), num_documents, num_bytes)
                pending, num_ids, num_documents, num_bytes = [], 0, 0, 0
        padding = -length % pack_length if pack_length else 0
        pending.append(np.array([tokenizer.eos_id] + [tokenizer.pad_id] * padding, dtype=np.int64))
        num_ids += 1 + padding
        num_documents += 1
    if pending:
        yield TokenChunk(np.concatenate(pending), num_documents, num_bytes)


def _check(ids: npt.NDArray[np.int64], tokenizer: Tokenizer) -> None:
    if len(ids) and (ids.min() < 0 or ids.max() >= tokenizer.vocab_size):
        found, expected = f"ids from {ids.min()} to {ids.max()}", f"ids from 0 to {tokenizer.vocab_size - 1}"
        hint = "This is a bug in the tokenizer plugin. `jitkit plugins check NAME` shows it."
        raise PluginError(found, expected, field="tokenizer", hint=hint)
