"""Documents to one stream of ids, in pieces that fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jitkit.data.parts import parts
from jitkit.errors import PluginError
from jitkit.protocols import Tokenizer

_PART = 1 << 18  # characters that are tokenised at a time; longer documents are cut at line ends
_CHUNK = 1 << 20  # ids that are gathered before they are handed on


class Chunk(NamedTuple):
    """A stretch of the stream, and what of the documents it finishes or carries."""

    ids: npt.NDArray[np.int64]  # [n]
    num_documents: int  # that end in it
    num_bytes: int  # of UTF-8 text in it


def token_chunks(documents: Iterable[str], tokenizer: Tokenizer, pack_length: int | None = None) -> Iterator[Chunk]:
    """Yield the ids of `documents`, each ended by eos; `pack_length` pads each with pad up to a multiple of it.

    Raises PluginError when the tokenizer yields an id outside [0, vocab_size).
    """
    pending: list[npt.NDArray[np.int64]] = []
    num_ids = num_documents = num_bytes = 0
    for document in documents:
        length = 1
        for part in parts(document, _PART):
            ids = np.array(tokenizer.encode(part), dtype=np.int64)
            _check(ids, tokenizer)
            pending.append(ids)
            length += len(ids)
            num_ids += len(ids)
            num_bytes += len(part.encode())
            if num_ids >= _CHUNK:
                yield Chunk(np.concatenate(pending), num_documents, num_bytes)
                pending, num_ids, num_documents, num_bytes = [], 0, 0, 0
        fill = -length % pack_length if pack_length else 0
        pending.append(np.array([tokenizer.eos_id] + [tokenizer.pad_id] * fill, dtype=np.int64))
        num_ids += 1 + fill
        num_documents += 1
    if pending:
        yield Chunk(np.concatenate(pending), num_documents, num_bytes)


def _check(ids: npt.NDArray[np.int64], tokenizer: Tokenizer) -> None:
    if len(ids) and (ids.min() < 0 or ids.max() >= tokenizer.vocab_size):
        raise PluginError(
            f"ids from {ids.min()} to {ids.max()}",
            f"ids from 0 to {tokenizer.vocab_size - 1}",
            field="tokenizer",
            hint="This is a fault of the tokenizer plugin; jitkit plugins check NAME shows it.",
        )
