"""Tokenized text on disk, as memory-mapped shards with an index.

A prepared folder contains `train.bin` and `validation.bin` (ids as little-endian uint16 or uint32) and `index.json`, which
records the inputs and the hash of each shard.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from jitkit.data.tokenize import TokenChunk, token_chunks
from jitkit.errors import InputError, ResourceError, counted
from jitkit.filesystem import exists, open_regular, read_bytes
from jitkit.progress import Progress, silent
from jitkit.protocols import DataSource, Split, Tokenizer
from jitkit.storage.atomic import cannot_write, new_file, replace, sync_folder
from jitkit.storage.cache import cache_folder

FORMAT = "jitkit.prepared/1"
_LOCK_TIMEOUT = 3600.0  # seconds to wait for another process that prepares the same text
_log = logging.getLogger("jitkit.data")


@dataclass(frozen=True)
class TokenStream:
    """The tokens of a split, one document after the other."""

    split: Split
    tokens: npt.NDArray[np.unsignedinteger[Any]]  # [N] uint16 or uint32, memory-mapped
    pad_id: int
    packed: bool  # documents may start inside a window; otherwise each starts a new one
    num_documents: int
    num_bytes: int  # of UTF-8 text

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class PreparedData:
    """Both splits, on disk in `folder`."""

    folder: Path
    train: TokenStream
    validation: TokenStream
    fingerprint: str  # hex digest of all tokens, the vocabulary size, and the ids of eos and pad
    reused: bool  # found in the cache


class _Shard(NamedTuple):
    """The entry of a split in `index.json`."""

    num_tokens: int
    num_documents: int
    num_bytes: int
    sha256: str


def prepare(
    source: DataSource,
    tokenizer: Tokenizer,
    *,
    pack_length: int | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> PreparedData:
    """Return the tokens of `source` from the `cache` folder (default: the user's), tokenizing the text if needed.

    Each document ends with eos. With `pack_length`, each is padded to a multiple of it, so that the next starts a window.
    If another process is preparing the same text, wait for it. Rebuild damaged shards with a warning. Raises InputError for unreadable text or an empty split, PluginError for invalid ids, ResourceError when the cache is
    not writable.
    """
    inputs = {
        "schema": FORMAT,
        "source": source.fingerprint(),
        "tokenizer": tokenizer.fingerprint,
        "vocab_size": tokenizer.vocab_size,
        "eos_id": tokenizer.eos_id,
        "pad_id": tokenizer.pad_id,
        "dtype": "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4",
        "pack_length": pack_length,
    }
    home = cache or cache_folder("prepared")
    key = _digest(inputs)[:32]
    folder = home / key
    with _locked(home / f"{key}.lock"):
        if exists(folder):
            try:
                return _open(folder, inputs, reused=True)
            except InputError as damage:
                _log.warning("jitkit: %s Preparing it again.", damage)
        streams = {split: token_chunks(source.documents(split), tokenizer, pack_length) for split in get_args(Split)}
        _write(folder, streams, inputs, progress)
        return _open(folder, inputs, reused=False)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the operating system releases when this process ends, for whatever reason."""
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0.5)
        except Timeout:
            _log.warning("jitkit: waiting for another process that is preparing the same text (%s)", path)
            lock.acquire(timeout=_LOCK_TIMEOUT)
    except Timeout as error:
        raise ResourceError(f"a lock held for {_LOCK_TIMEOUT:g} s", "a free lock", file=path) from error
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _open(folder: Path, inputs: dict[str, Any], *, reused: bool) -> PreparedData:
    """Return a prepared folder after checking every byte. Raises InputError naming a damaged file."""
    shards = _read_index(folder / "index.json", inputs)
    train, validation = (_open_shard(folder, split, shards[split], inputs) for split in get_args(Split))
    hashes = [shards[split].sha256 for split in get_args(Split)]
    fingerprint = _digest([hashes, inputs["vocab_size"], inputs["eos_id"], inputs["pad_id"]])
    return PreparedData(folder, train, validation, fingerprint, reused)


def _read_index(path: Path, inputs: dict[str, Any]) -> dict[Split, _Shard]:
    try:
        index = json.loads(read_bytes(path))
        if index["recipe"] != inputs:
            raise ValueError("inputs that do not match the folder name")
        return {split: _Shard(**index[split]) for split in get_args(Split)}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{type(error).__name__} ({error})", "the index of prepared text", file=path) from error


def _open_shard(folder: Path, split: Split, shard: _Shard, inputs: dict[str, Any]) -> TokenStream:
    path = folder / f"{split}.bin"
    dtype = np.dtype(inputs["dtype"])
    expected = shard.num_tokens * dtype.itemsize
    with open_regular(path, "a shard") as file:
        size = file.seek(0, os.SEEK_END)
        if size != expected:
            raise InputError(counted(size, "byte"), f"{expected} (index.json)", file=path, field="size")
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != shard.sha256:
            raise InputError(digest, f"{shard.sha256} (index.json)", file=path, field="sha256")
        tokens = np.memmap(path, dtype=dtype, mode="r")
        if len(tokens) and tokens.max() >= inputs["vocab_size"]:
            raise InputError(f"id {tokens.max()}", f"ids below {inputs['vocab_size']}", file=path)
    packed = inputs["pack_length"] is None
    return TokenStream(split, tokens, inputs["pad_id"], packed, shard.num_documents, shard.num_bytes)


def _write(
    folder: Path, streams: dict[Split, Iterator[TokenChunk]], inputs: dict[str, Any], progress: Progress
) -> None:
    """Write a temporary folder, sync it to disk, then rename it."""
    temporary = folder.with_name(f"{folder.name}.partial")
    try:
        if exists(temporary):  # left by a killed process; we hold the lock
            shutil.rmtree(temporary)
        temporary.mkdir(mode=0o700)
        index: dict[str, Any] = {"recipe": inputs}
        for split, chunks in streams.items():
            with new_file(temporary / f"{split}.bin") as file:
                show = partial(progress, f"tokenizing {split} text")
                index[split] = _write_shard(file, chunks, inputs["dtype"], show)._asdict()
            if not index[split]["num_documents"]:
                raise InputError(f"no {split} document", "at least one", field="data")
        with new_file(temporary / "index.json") as file:
            file.write(json.dumps(index, indent=2).encode())
        sync_folder(temporary)
        if exists(folder):  # damaged: an intact one would have been reused
            shutil.rmtree(folder)
        replace(temporary, folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_shard(file: BinaryIO, chunks: Iterable[TokenChunk], dtype: str, show: Callable[[int, int], None]) -> _Shard:
    digest = hashlib.sha256()
    num_tokens = num_documents = num_bytes = 0
    for chunk in chunks:
        data = chunk.ids.astype(dtype).tobytes()
        file.write(data)
        digest.update(data)
        num_tokens += len(chunk.ids)
        num_documents += chunk.num_documents
        num_bytes += chunk.num_bytes
        show(num_bytes, 0)
    return _Shard(num_tokens, num_documents, num_bytes, digest.hexdigest())
