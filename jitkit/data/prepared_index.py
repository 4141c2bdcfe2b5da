"""The index of a prepared folder, and the record of each pair of shards.

A prepared folder contains shards `train-00000.bin`, `validation-00000.bin`, ..., a record `00000.json` of each pair, and
`index.json`, which is written last. Folders of the first format contain `train.bin`, `validation.bin` and `index.json`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from jitkit.data.corpus import FileStamp
from jitkit.data.shards import Shard
from jitkit.errors import InputError
from jitkit.filesystem import read_bytes
from jitkit.protocols import Split, Tokenizer

FORMAT = "jitkit.prepared/2"
INDEX = "index.json"
SPLITS: tuple[Split, ...] = get_args(Split)


class ShardPair(NamedTuple):
    """A shard of each split, made from the same documents."""

    source: str  # digest of what was read, without the content
    files: list[FileStamp]  # that were read
    text_sha256: str  # of all documents, in order
    shards: dict[Split, Shard]

    def as_json(self) -> dict[str, Any]:
        """Return the record of this pair."""
        shards = {str(split): shard._asdict() for split, shard in self.shards.items()}
        return {"source": self.source, "text_sha256": self.text_sha256, "files": self.files, **shards}


class PreparedIndex(NamedTuple):
    """The content of an index: how the text was tokenized, from which files, and into which shards."""

    recipe: dict[str, Any]
    files: list[FileStamp]
    pairs: list[ShardPair]
    first_format: bool = False

    def write(self) -> bytes:
        """Return the JSON document."""
        pairs = [pair.as_json() for pair in self.pairs]
        document = {"schema": FORMAT, "recipe": self.recipe, "files": self.files, "shards": pairs}
        return json.dumps({**document, "sha256": digest_of(document)}, indent=1).encode()

    def shards(self, split: Split) -> list[tuple[str, Shard]]:
        """Return the file name and the entry of each shard of a split, in order."""
        if self.first_format:
            return [(f"{split}.bin", self.pairs[0].shards[split])]
        return [(shard_name(split, number), pair.shards[split]) for number, pair in enumerate(self.pairs)]

    def shard_files(self, folder: Path, split: Split) -> list[tuple[Path, Shard]]:
        """Return the path and the entry of each shard of a split in `folder`, in order."""
        return [(folder / name, shard) for name, shard in self.shards(split)]

    @property
    def fingerprint(self) -> str:
        """The hex digest of all tokens, the vocabulary size, and the ids of eos and pad."""
        hashes = [_stream_hash([pair.shards[split].sha256 for pair in self.pairs]) for split in SPLITS]
        values = [hashes, self.recipe["vocab_size"], self.recipe["eos_id"], self.recipe["pad_id"]]
        return digest_of(values)


def tokenization(tokenizer: Tokenizer, pack_length: int | None) -> dict[str, Any]:
    """Return what the recipe of an index states about how a text was tokenized, for windows of `pack_length` if given."""
    return {
        "tokenizer": tokenizer.fingerprint,
        "vocab_size": tokenizer.vocab_size,
        "eos_id": tokenizer.eos_id,
        "pad_id": tokenizer.pad_id,
        "dtype": "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4",
        "pack_length": pack_length,
    }


def digest_of(value: object) -> str:
    """Return the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def shard_name(split: Split, number: int) -> str:
    """Return the file name of a shard."""
    return f"{split}-{number:05}.bin"


def shard_path(folder: Path, split: Split, number: int) -> Path:
    """Return the path of a shard."""
    return folder / shard_name(split, number)


def record_path(folder: Path, number: int) -> Path:
    """Return the path of the record of a pair of shards."""
    return folder / f"{number:05}.json"


def read_index(folder: Path, recipe: dict[str, Any]) -> PreparedIndex:
    """Return the index of a folder. Raises InputError if it is damaged or has another recipe."""
    index = parse_index(read_bytes(folder / INDEX), folder / INDEX)
    if index.recipe != recipe:
        found = "ValueError (inputs that do not match the folder name)"
        raise InputError(found, "the index of prepared text", file=folder / INDEX)
    return index


def parse_index(data: bytes, place: object) -> PreparedIndex:
    """Return the index in a document from `place`. Raises InputError if it is damaged."""
    try:
        document = json.loads(data)
        recipe = {str(key): value for key, value in document["recipe"].items()}
        if "schema" not in document:
            return PreparedIndex(recipe, [], [ShardPair("", [], "", _shards(document))], first_format=True)
        if document["schema"] != FORMAT or document.pop("sha256") != digest_of(document):
            raise ValueError("an index of another format, or with a wrong hash")
        return PreparedIndex(recipe, _stamps(document["files"]), [_pair(entry) for entry in document["shards"]])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{type(error).__name__} ({error})", "the index of prepared text", file=place) from error


def read_record(path: Path) -> ShardPair | None:
    """Return the record of a pair of shards, or None if it is missing or damaged."""
    try:
        return _pair(json.loads(read_bytes(path)))
    except (InputError, ValueError, KeyError, TypeError):
        return None


def _pair(entry: dict[str, Any]) -> ShardPair:
    return ShardPair(str(entry["source"]), _stamps(entry["files"]), str(entry["text_sha256"]), _shards(entry))


def _shards(entry: dict[str, Any]) -> dict[Split, Shard]:
    shards: dict[Split, Shard] = {split: Shard(**entry[split]) for split in SPLITS}
    for *numbers, sha256 in shards.values():
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("a count that is no number")
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise ValueError("a hash that is none")
    return shards


def _stamps(entries: Sequence[Sequence[Any]]) -> list[FileStamp]:
    return [FileStamp(*entry) for entry in entries]


def _stream_hash(hashes: Sequence[str]) -> str:
    """Return the hash of a stream of one shard, or of the hashes of several."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
