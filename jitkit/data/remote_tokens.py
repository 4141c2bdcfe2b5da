"""The tokens of shards at a URL: downloaded when they are needed, or in advance, and deleted when they are not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from weakref import ReferenceType, finalize, ref

from jitkit.data.remote_folder import RemoteFolder
from jitkit.data.shards import Shard
from jitkit.data.token_stream import ShardedTokens
from jitkit.errors import JitkitError


class RemoteTokens(ShardedTokens):
    """The tokens of shards in a remote folder. The local copies of shards that are read or announced stay until
    `announce` names others.
    """

    def __init__(self, folder: RemoteFolder, shards: Sequence[tuple[str, Shard]], dtype: str, vocab_size: int) -> None:
        """Take the name and the entry of each shard."""
        super().__init__([(folder.place(name), shard.num_tokens) for name, shard in shards], dtype, vocab_size)
        self._folder, self._dtype, self._vocab_size = folder, dtype, vocab_size
        self._shards = [(name, shard) for name, shard in shards if shard.num_tokens]
        self._local, self._asked, self._queue = dict[int, Path](), set[int](), SimpleQueue[int | None]()
        self._thread: Thread | None = None

    def announce(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Download the shards of ranges of tokens (start, stop) in a thread, in this order, and delete all others."""
        wanted = list(dict.fromkeys(number for start, stop in ranges for number in self.numbers(start, stop)))
        self._asked.intersection_update(wanted)
        for number in self._local.keys() - set(wanted):
            self._delete(number)
        for number in wanted:
            if number not in self._asked:
                self._asked.add(number)
                self._queue.put(number)
        if self._thread is None:
            self._thread = Thread(target=_prefetch, args=(ref(self), self._queue), daemon=True)
            self._thread.start()
            finalize(self, self._queue.put, None)

    def local_path(self, number: int) -> Path:
        """Return the local copy of a shard, after a download if needed."""
        name, shard = self._shards[number]
        path = self._folder.fetch(name, shard, self._dtype, self._vocab_size)
        self._local[number] = path
        return path  # by now, another thread may have deleted the entry

    def _delete(self, number: int) -> None:
        self.forget(number)
        if path := self._local.pop(number, None):
            with suppress(OSError):  # another process has deleted it
                path.unlink(missing_ok=True)

    def prefetch(self, number: int) -> None:
        """Download a shard, unless others have been announced since it was."""
        if number in self._asked:
            with suppress(JitkitError):  # whoever reads the shard tries again, and raises
                self.local_path(number)
            if number not in self._asked:  # others were announced during the download
                self._delete(number)


def _prefetch(reference: ReferenceType[RemoteTokens], numbers: SimpleQueue[int | None]) -> None:
    """Prefetch shards until None, which arrives when nothing else refers to the tokens."""
    while (number := numbers.get()) is not None:
        if tokens := reference():
            tokens.prefetch(number)
        del tokens
