"""Opening a prepared folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jitkit.data.prepared_index import SPLITS, PreparedIndex, read_index
from jitkit.data.shards import check_content, check_size, shard_size
from jitkit.data.token_stream import LocalTokens, TokenStream
from jitkit.protocols import Split

ALWAYS_HASHED = 1 << 26  # bytes of shards; hashing more would delay every start


@dataclass(frozen=True)
class PreparedData:
    """Both splits, on disk in `folder`."""

    folder: Path
    train: TokenStream
    validation: TokenStream
    fingerprint: str  # hex digest of all tokens, the vocabulary size, and the ids of eos and pad
    reused: bool  # found in the cache
    num_shards: int = 1  # of each split


def open_prepared(folder: Path, recipe: dict[str, Any], *, reused: bool) -> tuple[PreparedData, PreparedIndex]:
    """Return the content of a prepared folder, and its index.

    Raises InputError for a damaged index, a missing shard or one of another size; in folders of at most `ALWAYS_HASHED`
    bytes also for any other damage.
    """
    index = read_index(folder, recipe)
    train, validation = (open_split(folder, index, split) for split in SPLITS)
    return PreparedData(folder, train, validation, index.fingerprint, reused, len(index.pairs)), index


def open_split(folder: Path, index: PreparedIndex, split: Split) -> TokenStream:
    """Return the tokens of a split. Raises InputError as `open_prepared` does."""
    recipe, shards = index.recipe, index.shard_files(folder, split)
    dtype, vocab_size = recipe["dtype"], recipe["vocab_size"]
    for path, shard in shards:
        check_size(path, shard, dtype)
    if sum(shard_size(shard, dtype) for _, shard in shards) <= ALWAYS_HASHED:
        for path, shard in shards:
            check_content(path, shard, dtype, vocab_size)
    tokens = LocalTokens([(path, shard.num_tokens) for path, shard in shards], dtype, vocab_size)
    num_documents = sum(shard.num_documents for _, shard in shards)
    num_bytes = sum(shard.num_bytes for _, shard in shards)
    return TokenStream(split, tokens, recipe["pad_id"], recipe["pack_length"] is None, num_documents, num_bytes)
