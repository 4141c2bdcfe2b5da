"""Prepared text that a manifest names: a folder made by `jitkit data prepare`, here or at a URL."""

from __future__ import annotations

from pathlib import Path

from jitkit.data.prepared_folder import PreparedData, open_split
from jitkit.data.prepared_index import INDEX, SPLITS, PreparedIndex, parse_index, tokenization
from jitkit.data.remote_folder import RemoteFolder
from jitkit.data.remote_tokens import RemoteTokens
from jitkit.data.shards import shard_size
from jitkit.data.token_stream import TokenStream
from jitkit.errors import InputError, RefusedError, counted, shown
from jitkit.filesystem import read_bytes
from jitkit.protocols import Split, Tokenizer

SPAN = 1 << 28  # tokens of remote shards that are read before others; this span and the next one are on the local disk
LOCAL_PROTOCOLS = {"asynclocal", "dir", "file", "generic", "git", "local", "reference"}  # may lead to any local file
_FIELD = "train.prepared"


def is_url(name: str) -> bool:
    """Return whether a name is a URL. Raises RefusedError for one of local files, which a manifest names by path."""
    protocol, mark, _ = name.partition("://")
    if mark and (protocol.lower() in LOCAL_PROTOCOLS or "::" in name):  # "::" chains protocols
        raise RefusedError(shown(name), "a path, or the URL of a remote folder", field=_FIELD)
    return bool(mark)


def open_given(place: Path | str, tokenizer: Tokenizer, pack_length: int | None, *, span: int = SPAN) -> PreparedData:
    """Return the prepared text in a folder, or at a URL if `place` is one.

    Raises InputError if it is damaged or incomplete, or was prepared with another tokenizer or window; ResourceError if the
    remote refuses.
    """
    if isinstance(place, Path):
        index = parse_index(read_bytes(place / INDEX, field=_FIELD), place / INDEX)
        _require_recipe(index, tokenizer, pack_length, place / INDEX)
        train, validation = (open_split(place, index, split) for split in SPLITS)
        return PreparedData(place, train, validation, index.fingerprint, True, len(index.pairs))
    folder = RemoteFolder(place)
    index = parse_index(folder.read(INDEX), folder.place(INDEX))
    _require_recipe(index, tokenizer, pack_length, folder.place(INDEX))
    train, validation = (_remote(folder, index, split, span) for split in SPLITS)
    return PreparedData(Path(place), train, validation, index.fingerprint, True, len(index.pairs))


def _remote(folder: RemoteFolder, index: PreparedIndex, split: Split, span: int) -> TokenStream:
    shards, recipe = index.shards(split), index.recipe
    for name, shard in shards:
        expected = shard_size(shard, recipe["dtype"])
        if folder.sizes.get(name) != expected:
            found = counted(folder.sizes[name], "byte") if name in folder.sizes else "no such file"
            raise InputError(
                found, f"{expected} bytes ({INDEX})", file=folder.place(name), hint="Upload the folder again."
            )
    tokens = RemoteTokens(folder, shards, recipe["dtype"], recipe["vocab_size"])
    num_documents = sum(shard.num_documents for _, shard in shards)
    num_bytes = sum(shard.num_bytes for _, shard in shards)
    packed = recipe["pack_length"] is None
    return TokenStream(split, tokens, recipe["pad_id"], packed, num_documents, num_bytes, span)


def _require_recipe(index: PreparedIndex, tokenizer: Tokenizer, pack_length: int | None, place: object) -> None:
    """Raise InputError unless a text was tokenized with `tokenizer` for windows of `pack_length`."""
    for key, value in tokenization(tokenizer, pack_length).items():
        if index.recipe.get(key) != value:
            hint = "Prepare the text with this manifest, and upload it again."
            raise InputError(
                shown(index.recipe.get(key)), f"{shown(value)}, as in the manifest", file=place, field=key, hint=hint
            )
