"""Preparing text: it is tokenized once, into a folder of the cache, for every command that needs it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from jitkit.data.preparation import Preparation, Workers
from jitkit.data.prepared_folder import PreparedData
from jitkit.progress import Progress, silent
from jitkit.protocols import DataSource, Tokenizer


class Part(NamedTuple):
    """Part `number` (1, 2, ...) of `total`: one command, on one of several machines with the same cache folder."""

    number: int
    total: int


class Unfinished(NamedTuple):
    """A part is done, but other parts are not."""

    folder: Path
    num_made: int
    num_shards: int


def prepare(
    source: DataSource,
    tokenizer: Tokenizer,
    *,
    pack_length: int | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
    workers: Workers | None = None,
    refresh: bool = False,
) -> PreparedData:
    """Return the tokens of `source` from the `cache` folder (default: the user's), tokenizing the text if needed.

    Each document ends with eos. With `pack_length`, each is padded to a multiple of it, so that the next starts a window.
    If another process is preparing the same text, wait for it. Make damaged shards again, with a warning; with `refresh`,
    also those of changed files. Raises InputError for unreadable text, an empty split, or a corpus that has changed;
    PluginError for invalid ids; ResourceError when the cache is not writable.
    """
    preparation = Preparation(source, tokenizer, pack_length, cache, progress)
    with preparation.locked():
        found = preparation.found(refresh=refresh)
        if found is not None:
            return found
        with preparation.all_or_nothing():
            preparation.make(range(len(preparation.groups)), workers or Workers(1, lambda: tokenizer), progress)
            return preparation.finish()


def prepare_part(
    source: DataSource,
    tokenizer: Tokenizer,
    part: Part,
    *,
    pack_length: int | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
    workers: Workers | None = None,
) -> PreparedData | Unfinished:
    """Make the shards of one part. Return the prepared text if that was the last part.

    Parts may run at the same time. Otherwise like `prepare` with `refresh`.
    """
    preparation = Preparation(source, tokenizer, pack_length, cache, progress)
    with preparation.locked():
        found = preparation.found(refresh=True)
    if found is not None:
        return found
    numbers = range(len(preparation.groups))
    preparation.make(numbers[part.number - 1 :: part.total], workers or Workers(1, lambda: tokenizer), progress)
    with preparation.locked():
        if (missing := preparation.missing()) and (found := preparation.found(refresh=True)) is None:
            return Unfinished(preparation.folder, len(numbers) - len(missing), len(numbers))
        return found or preparation.finish()
