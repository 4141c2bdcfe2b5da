"""One text, one tokenizer, one folder of the cache: what is there, and what has to be made."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from filelock import FileLock, Timeout

from jitkit.data.corpus import Corpus, grouped, stamps_of
from jitkit.data.groups import BlockGroup, Group, WholeText
from jitkit.data.prepared_folder import PreparedData, open_prepared
from jitkit.data.prepared_index import (
    INDEX,
    SPLITS,
    PreparedIndex,
    ShardPair,
    digest_of,
    read_record,
    record_path,
    shard_path,
    tokenization,
)
from jitkit.data.shard_maker import GroupProgress, ShardMaker
from jitkit.data.split import SplitDocuments
from jitkit.data.worker_processes import run_in_processes
from jitkit.errors import InputError, ResourceError
from jitkit.filesystem import entries, exists, is_folder
from jitkit.progress import Progress, silent
from jitkit.protocols import DataSource, Tokenizer
from jitkit.storage.atomic import cannot_write, replace, sync_folder, temporary_name, write_file, writing
from jitkit.storage.cache import cache_folder

_LOCK_TIMEOUT = 3600.0  # seconds to wait for another process that prepares the same text
_log = logging.getLogger("jitkit.data")


@dataclass(frozen=True)
class Workers:
    """How many processes prepare a corpus, and how each of them builds the tokenizer."""

    number: int
    build_tokenizer: Callable[[], Tokenizer]


class Preparation:
    """The preparation of a text in a folder of the `home` folder, which is named after its inputs."""

    def __init__(
        self,
        source: DataSource,
        tokenizer: Tokenizer,
        pack_length: int | None,
        home: Path | None,
        progress: Progress = silent,
    ) -> None:
        if isinstance(source, SplitDocuments):
            source.scan(progress)  # for its fingerprint
        self.corpus = source if isinstance(source, Corpus) else None
        self._source, self._tokenizer = source, tokenizer
        self.recipe = {
            "schema": "jitkit.prepared/1",  # part of every folder's name since the first format
            "source": self.corpus.key if self.corpus else source.fingerprint(),
            **tokenization(tokenizer, pack_length),
        }
        home = home or cache_folder("prepared")
        key = digest_of(self.recipe)[:32]
        self.folder = home / key
        self._unfinished, self._lock = home / f"{key}.partial", home / f"{key}.lock"

    @cached_property
    def groups(self) -> Sequence[Group]:
        """What becomes a pair of shards each. Raises InputError for a corpus that cannot be read."""
        if self.corpus is None:
            size = self._source.num_bytes if isinstance(self._source, SplitDocuments) else 0
            return [WholeText(self._source, size)]
        return [BlockGroup(self.corpus, blocks) for blocks in grouped(self.corpus.blocks)]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold a lock that the operating system releases when this process ends, for whatever reason."""
        lock = FileLock(self._lock)
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0.5)
            except Timeout:
                _log.warning("jitkit: waiting for another process that is preparing the same text (%s)", self._lock)
                lock.acquire(timeout=_LOCK_TIMEOUT)
        except Timeout as error:
            raise ResourceError(f"a lock held for {_LOCK_TIMEOUT:g} s", "a free lock", file=self._lock) from error
        except OSError as error:
            raise cannot_write(self._lock, error) from error
        try:
            yield
        finally:
            lock.release()

    def found(self, *, refresh: bool) -> PreparedData | None:
        """Return the prepared text, or None if it has to be made: it is missing, or damaged, with a warning.

        Raises InputError if a file of the corpus has changed since; with `refresh`, return None.
        """
        if not exists(self.folder):
            return None
        try:
            prepared, index = open_prepared(self.folder, self.recipe, reused=True)
            if self.corpus is None:
                return prepared
        except InputError as damage:
            self._set_aside(damage)
            return None
        try:
            self.corpus.require_unchanged(index.files)
        except InputError as change:
            if not refresh:
                raise
            self._set_aside(change)
            return None
        return prepared

    def make(self, numbers: Sequence[int], workers: Workers, progress: Progress) -> None:
        """Make the pairs of shards with these numbers, except those that are there. Raises ResourceError if writing fails."""
        with self._scratch() as scratch:
            maker = ShardMaker(self._unfinished, scratch, self.recipe, self.groups, workers.build_tokenizer)
            num, total = min(workers.number, len(numbers)), sum(self.groups[number].size for number in numbers)
            report = partial(_report, progress, total)
            if self.corpus is None:
                for number in numbers:  # only 0
                    maker.make(number, self._tokenizer, GroupProgress(report, 0, total).show)
                report(total)
            elif num > 1:
                run_in_processes(maker.make_all, [numbers[first::num] for first in range(num)], report)
            else:
                maker.make_all(numbers, report)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """If the block fails, delete what was made; of a corpus, keep finished shards for the next time."""
        try:
            yield
        except BaseException:
            if self.corpus is None:
                shutil.rmtree(self._unfinished, ignore_errors=True)
            raise

    def missing(self) -> list[int]:
        """Return the numbers of the pairs of shards that are not made yet."""
        return [number for number in range(len(self.groups)) if self._made(number) is None]

    def finish(self) -> PreparedData:
        """Write the index, give the folder its name, and open it.

        Raises InputError if a split has no document, or if a file of the corpus has changed since its shards were made.
        """
        files = stamps_of(self.corpus.files) if self.corpus else []
        pairs = [pair for number in range(len(self.groups)) if (pair := self._made(number))]
        if len(pairs) < len(self.groups):
            hint = "Repeat the command when nothing writes to it."
            raise InputError("text that changed while it was read", "the same text", field="data", hint=hint)
        with writing(self.folder):
            self._require_documents(pairs)
            write_file(self._unfinished / INDEX, PreparedIndex(self.recipe, files, pairs).write())
            self._remove_others(len(pairs))
            sync_folder(self._unfinished)
            if exists(self.folder):  # damaged: an intact one would have been used
                shutil.rmtree(self.folder)
            replace(self._unfinished, self.folder)
        return open_prepared(self.folder, self.recipe, reused=False)[0]

    def _set_aside(self, reason: InputError) -> None:
        """Turn a finished folder into an unfinished one, whose intact shards are used again, and say why."""
        _log.warning("jitkit: %s Preparing it again.", reason)
        if not exists(self._unfinished):
            with writing(self.folder):
                replace(self.folder, self._unfinished)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """Yield a folder for the temporary files of this process and its workers, which is deleted at the end."""
        scratch = temporary_name(self._unfinished / "work")
        with writing(self.folder):
            self._unfinished.mkdir(mode=0o700, exist_ok=True)
            scratch.mkdir()
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
                with suppress(OSError):  # it contains finished shards, or other processes are working
                    self._unfinished.rmdir()

    def _made(self, number: int) -> ShardPair | None:
        """Return the record of a pair of shards, or None unless it was made from the files as they are now."""
        group, pair = self.groups[number], read_record(record_path(self._unfinished, number))
        return pair if pair and (pair.source, pair.files) == (group.source, group.stamps()) else None

    def _require_documents(self, pairs: Sequence[ShardPair]) -> None:
        """Raise InputError, and delete what was made, if a split has no document."""
        for split in SPLITS:
            if not any(pair.shards[split].num_documents for pair in pairs):
                shutil.rmtree(self._unfinished, ignore_errors=True)
                hint = "Provide more documents, or change data.validation_fraction." if self.corpus else ""
                raise InputError(
                    f"no {split} document",
                    "at least one",
                    file=self.corpus and self.corpus.origin,
                    field="data",
                    hint=hint,
                )

    def _remove_others(self, num_pairs: int) -> None:
        """Delete files of killed processes, and shards of a corpus that had more files."""
        kept = {INDEX} | {record_path(self._unfinished, number).name for number in range(num_pairs)}
        kept |= {shard_path(self._unfinished, split, number).name for split in SPLITS for number in range(num_pairs)}
        for path in entries(self._unfinished):
            if path.name not in kept and is_folder(path):
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in kept:
                path.unlink()


def _report(progress: Progress, total: int, done: int) -> None:
    progress("tokenizing text", done, total)
