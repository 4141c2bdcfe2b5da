"""Making pairs of shards from documents, one after the other, in this process or a worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jitkit.data.groups import Group, TextDigest, text_sha256
from jitkit.data.prepared_index import SPLITS, ShardPair, read_record, record_path, shard_path
from jitkit.data.shards import Shard, ShardWriter, check_content
from jitkit.errors import InputError
from jitkit.protocols import Split, Tokenizer
from jitkit.storage.atomic import new_file, rename, replace, sync_folder

Show = Callable[[Split, int], None]
"""Called with a split and the bytes of its text that were tokenized so far."""


class GroupProgress:
    """Reports what was done before a group, and how much of its `size` is done; all of it if the size is unknown (0)."""

    def __init__(self, report: Callable[[int], None], before: int, size: int) -> None:
        self._report, self._before, self._size = report, before, size
        self._written = dict[Split, int]()

    def show(self, split: Split, num_bytes: int) -> None:
        """Add the bytes of a split."""
        self._written[split] = num_bytes
        done = sum(self._written.values())
        self._report(self._before + min(self._size or done, done))


@dataclass(frozen=True)
class ShardMaker:
    """Makes pairs of shards in `folder`, with temporary files in `scratch`. Worker processes receive a copy."""

    folder: Path
    scratch: Path
    recipe: dict[str, Any]
    groups: Sequence[Group]
    build_tokenizer: Callable[[], Tokenizer]

    def make_all(self, numbers: Sequence[int], report: Callable[[int], None]) -> None:
        """Make the pairs with these numbers, and report how many bytes of all their groups are done."""
        tokenizer, done = self.build_tokenizer(), 0
        for number in numbers:
            size = self.groups[number].size
            self.make(number, tokenizer, GroupProgress(report, done, size).show)
            done += size
            report(done)

    def make(self, number: int, tokenizer: Tokenizer, show: Show) -> None:
        """Make one pair of shards and its record, unless an intact one is there.

        Raises InputError for unreadable text, also if it changes meanwhile, and OSError if writing fails.
        """
        group = self.groups[number]
        if self._is_made(number):
            return
        before = group.stamps()
        text, shards = self._write(number, tokenizer, show)
        for stamp, now in zip(before, group.stamps(), strict=True):
            if stamp != now:
                found, hint = "text that changed while it was read", "Repeat the command when nothing writes to it."
                raise InputError(found, "the same text", file=stamp.path, hint=hint)
        for split in SPLITS:
            rename(shard_path(self.scratch, split, number), shard_path(self.folder, split, number))
        sync_folder(self.folder)
        self._record(number, ShardPair(group.source, before, text, shards))

    def _write(self, number: int, tokenizer: Tokenizer, show: Show) -> tuple[str, dict[Split, Shard]]:
        """Write both shards into the scratch folder. Return the digest of the text, and their entries."""
        digest, (dtype, pack_length) = TextDigest(), (self.recipe["dtype"], self.recipe["pack_length"])
        paths = {split: shard_path(self.scratch, split, number) for split in SPLITS}
        with ExitStack() as files:
            writers = {
                split: ShardWriter(
                    files.enter_context(new_file(path)), tokenizer, pack_length, dtype, partial(show, split)
                )
                for split, path in paths.items()
            }
            for split, text in self.groups[number].documents():
                digest.add(text)
                writers[split].add(text)
            shards = {split: writer.finish() for split, writer in writers.items()}
        for split, path in paths.items():
            check_content(path, shards[split], dtype, self.recipe["vocab_size"])
        return digest.hexdigest(), shards

    def _is_made(self, number: int) -> bool:
        """Return whether an intact pair is there that was made from the same text."""
        group, pair = self.groups[number], read_record(record_path(self.folder, number))
        if pair is None or pair.source != group.source:
            return False
        try:
            for split, shard in pair.shards.items():
                path = shard_path(self.folder, split, number)
                check_content(path, shard, self.recipe["dtype"], self.recipe["vocab_size"])
        except InputError:
            return False
        if (stamps := group.stamps()) != pair.files:
            if text_sha256(group) != pair.text_sha256:
                return False
            self._record(number, pair._replace(files=stamps))
        return True

    def _record(self, number: int, pair: ShardPair) -> None:
        temporary = record_path(self.scratch, number)  # the process may be killed: the command deletes this folder
        with new_file(temporary) as file:
            file.write(json.dumps(pair.as_json()).encode())
        replace(temporary, record_path(self.folder, number))
