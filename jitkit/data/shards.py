"""Text tokenised once, into memory-mapped shards with an index.

A prepared folder holds `train.bin` and `validation.bin` (one id after the other, uint16 or uint32, little-endian) and
`index.json`, which says what they were made from and what they must hash to.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, get_args

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from jitkit.data.tokenise import Chunk, token_chunks
from jitkit.errors import InputError, ResourceError
from jitkit.protocols import DataSource, Split, Tokenizer
from jitkit.storage.atomic import cannot_write, sync_folder
from jitkit.storage.cache import cache_folder

FORMAT = "jitkit.prepared/1"
Progress = Callable[[int], None]
"""Told now and then how many bytes of text were tokenised since it was told last."""

_PATIENCE = 3600.0  # seconds to wait for another process that prepares the same text
_log = logging.getLogger("jitkit.data")


@dataclass(frozen=True)
class TokenStream:
    """The tokens of a split, one document after the other."""

    split: Split
    tokens: npt.NDArray[np.unsignedinteger[Any]]  # [N] uint16 or uint32, memory-mapped
    pad_id: int
    packed: bool  # documents follow each other anywhere; otherwise every one starts a window
    num_documents: int
    num_bytes: int  # of UTF-8 text

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class PreparedData:
    """Both splits, on disk in `folder`; `reused` where they lay there already."""

    folder: Path
    train: TokenStream
    validation: TokenStream
    fingerprint: str  # hex digest of all tokens, of the size of the vocabulary, and of which ids are eos and pad
    reused: bool


@dataclass(frozen=True)
class _Shard:
    """What `index.json` says of a split."""

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
    progress: Progress | None = None,
) -> PreparedData:
    """Return the tokens of `source`, tokenised now or found in the `cache` folder (default: the user's).

    Every document ends with eos, and the next one follows; with `pack_length` pad fills each document up to a multiple of
    it, so that the next starts a window. Another process that prepares the same text is waited for. A damaged shard is
    made again, and a warning says so.

    Raises InputError for unreadable text or an empty split, PluginError for ids that the tokenizer must not yield,
    ResourceError when the cache cannot be written.
    """
    recipe = {
        "schema": FORMAT,
        "source": source.fingerprint(),
        "tokenizer": tokenizer.fingerprint,
        "vocab_size": tokenizer.vocab_size,
        "eos_id": tokenizer.eos_id,
        "pad_id": tokenizer.pad_id,
        "dtype": "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4",
        "pack_length": pack_length,
    }
    home = cache if cache is not None else cache_folder("prepared")
    key = _digest(recipe)[:32]
    folder = home / key
    with _locked(home / f"{key}.lock"):
        if folder.exists():
            try:
                return _open(folder, recipe, reused=True)
            except InputError as damage:
                _log.warning("jitkit: %s It is prepared again.", damage)
        streams = {split: token_chunks(source.documents(split), tokenizer, pack_length) for split in get_args(Split)}
        _write(folder, streams, recipe, progress)
        return _open(folder, recipe, reused=False)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system takes back when this process ends, however it ends."""
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0.5)
        except Timeout:
            _log.warning("jitkit: another process prepares the same text; waiting for it (%s)", path)
            lock.acquire(timeout=_PATIENCE)
    except Timeout as error:
        raise ResourceError(f"a lock held for {_PATIENCE:g} s", "none", file=path) from error
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()


# ------------------------------------------------------------------------------------------------ reading


def _open(folder: Path, recipe: dict[str, Any], *, reused: bool) -> PreparedData:
    """Return a prepared folder, every byte of it checked. Raises InputError naming the file that is damaged."""
    shards = _read_index(folder / "index.json", recipe)
    train, validation = (_open_shard(folder, split, shards[split], recipe) for split in get_args(Split))
    hashes = [shards[split].sha256 for split in get_args(Split)]
    fingerprint = _digest([hashes, recipe["vocab_size"], recipe["eos_id"], recipe["pad_id"]])
    return PreparedData(folder, train, validation, fingerprint, reused)


def _read_index(path: Path, recipe: dict[str, Any]) -> dict[Split, _Shard]:
    try:
        index = json.loads(path.read_bytes())
        if index["recipe"] != recipe:
            raise ValueError("another recipe than its folder is named after")
        return {split: _Shard(**index[split]) for split in get_args(Split)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{type(error).__name__} ({error})", "the index of prepared text", file=path) from error


def _open_shard(folder: Path, split: Split, shard: _Shard, recipe: dict[str, Any]) -> TokenStream:
    path = folder / f"{split}.bin"
    dtype = np.dtype(recipe["dtype"])
    expected = shard.num_tokens * dtype.itemsize
    try:
        size = path.stat().st_size
        if size != expected:
            raise InputError(f"{size} bytes", f"{expected} (index.json)", file=path, field="size")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != shard.sha256:
            raise InputError(digest, f"{shard.sha256} (index.json)", file=path, field="sha256")
        tokens = np.memmap(path, dtype=dtype, mode="r")
    except OSError as error:
        raise InputError((error.strerror or str(error)).lower(), "a shard", file=path) from error
    packed = recipe["pack_length"] is None
    return TokenStream(split, tokens, recipe["pad_id"], packed, shard.num_documents, shard.num_bytes)


# ------------------------------------------------------------------------------------------------ writing


def _write(
    folder: Path, streams: dict[Split, Iterator[Chunk]], recipe: dict[str, Any], progress: Progress | None
) -> None:
    """Write the whole folder beside its place, make it durable, then rename it there."""
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        if partial.exists():  # a killed process left it: the lock is ours
            shutil.rmtree(partial)
        partial.mkdir(mode=0o700)
        index: dict[str, Any] = {"recipe": recipe}
        for split, chunks in streams.items():
            with _durable(partial / f"{split}.bin") as file:
                index[split] = asdict(_write_shard(file, chunks, recipe, progress))
            if not index[split]["num_documents"]:
                raise InputError(f"no {split} document", "at least one", field="data")
        with _durable(partial / "index.json") as file:
            file.write(json.dumps(index, indent=2).encode())
        sync_folder(partial)
        if folder.exists():  # damaged, or it would have been used
            shutil.rmtree(folder)
        partial.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _durable(path: Path) -> Iterator[BinaryIO]:
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _write_shard(file: BinaryIO, chunks: Iterable[Chunk], recipe: dict[str, Any], progress: Progress | None) -> _Shard:
    digest = hashlib.sha256()
    num_tokens = num_documents = num_bytes = 0
    for chunk in chunks:
        data = chunk.ids.astype(recipe["dtype"]).tobytes()
        file.write(data)
        digest.update(data)
        num_tokens += len(chunk.ids)
        num_documents += chunk.num_documents
        num_bytes += chunk.num_bytes
        if progress is not None:
            progress(chunk.num_bytes)
    return _Shard(num_tokens, num_documents, num_bytes, digest.hexdigest())
