"""Saving a checkpoint folder while training goes on: every process writes its own parts in a thread.

They agree through files, because a thread must not take part in the collectives of training: when a process has written
its parts, it writes `report-RANK.json`. The main process waits for all reports, writes the index, and gives the folder its
name. Until then the folder is a temporary one, which the next run deletes.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jitkit import parallel
from jitkit.checkpoints.format import Checkpoint, as_document
from jitkit.checkpoints.nested import flattened
from jitkit.checkpoints.own_parts import own_parts
from jitkit.checkpoints.remote import RemoteCheckpoints, remote_name
from jitkit.checkpoints.shard_index import INDEX, REST, ShardFile, ShardIndex, read_shard_index, write_shard_index
from jitkit.checkpoints.shards import Part, index_of, shard_name, write_shard
from jitkit.documents.document import Document, read_document, write_document
from jitkit.errors import ResourceError
from jitkit.files import member_path
from jitkit.filesystem import is_file, is_folder
from jitkit.storage.atomic import delete, make_folder, replace, temporary_name, writing

SHARDED = ("model_state_dict", "ema_state_dict", "optimizer_state_dict")
WHOLE = ("rng", "schedule_state_dict", "tokenizer", "validation_tokens")  # in rest.safetensors
POLL = 0.05  # seconds between looks at what other processes have done
REMOTE_POLL = 1.0  # the same for a remote, which counts requests
DONE, RUNNING, FAILED = range(3)  # the status of a group is the highest one of its processes


def save_shards(folder: Path, checkpoint: Checkpoint, copies: RemoteCopies | None = None) -> PendingSave:
    """Begin to write a checkpoint as the new folder `folder`, in a thread. All processes have to call this.

    The tensors are copied to the memory of the CPU first, so they may change as soon as this returns. `folder` may differ
    in other processes than the main one, whose name counts. The complete folder is uploaded to `copies`. Raises
    ResourceError if the folder cannot be created.
    """
    temporary = temporary_name(folder)
    if parallel.is_main_process():
        make_folder(temporary)
    names = parallel.from_main_process(json.dumps([folder.name, temporary.name]))
    folder, temporary = (member_path(folder.parent, name) for name in json.loads(names))
    document = as_document(checkpoint)
    sharded = list(flattened({key: document[key] for key in SHARDED if document[key] is not None}))
    rest = list(flattened({key: document[key] for key in WHOLE}))
    is_main_process = parallel.is_main_process()
    index = index_of(document, dict([*sharded, *rest]), parallel.world_size()) if is_main_process else None
    work = _Work(temporary, folder, parallel.rank(), own_parts(sharded), own_parts(rest), index, copies)
    return PendingSave(work, checkpoint.step)


class Report(Document):
    """`report-RANK.json`: the files that a process has written. The main process deletes it."""

    files: dict[str, ShardFile]


@dataclass(frozen=True)
class RemoteCopies:
    """Where complete folders are uploaded to, and how many stay there."""

    url: str
    keep: int


@dataclass(frozen=True)
class _Work:
    """What a process has to write."""

    temporary: Path
    folder: Path
    rank: int
    parts: dict[str, Part]
    rest: dict[str, Part]
    index: ShardIndex | None  # without files; of the main process
    copies: RemoteCopies | None

    def run(self, given_up: threading.Event) -> None:
        """Write the files of this process, and upload them once the folder is complete."""
        self.write(given_up)
        if self.copies is not None:
            self.upload(RemoteCheckpoints(self.copies.url), self.copies.keep, given_up)

    def upload(self, remote: RemoteCheckpoints, keep: int, given_up: threading.Event) -> None:
        """Upload the files of this process. The main one then waits for those of the others, and uploads the index."""
        _wait_until(lambda: is_folder(self.folder), given_up)
        index = read_shard_index(self.folder)
        name, own = remote_name(self.folder, index), {shard_name(self.rank), REST if self.index else ""}
        for file in own & index.files.keys():
            remote.upload(member_path(self.folder, file), f"{name}/{file}")
        if self.index is not None:
            sizes = {(file, entry.bytes) for file, entry in index.files.items()}
            _wait_until(lambda: sizes <= set(remote.sizes(name).items()), given_up, REMOTE_POLL)
            remote.upload(self.folder / INDEX, f"{name}/{INDEX}")
            remote.prune(keep)

    def write(self, given_up: threading.Event) -> None:
        """Write the files of this process. The main one then waits for the others, and completes the folder."""
        name = shard_name(self.rank)
        files = {name: write_shard(self.temporary / name, self.parts)} if self.parts else {}
        self.parts.clear()  # the copies
        if self.index is None:
            write_document(self.temporary / _report_name(self.rank), Report(files=files))
            return
        files[REST] = write_shard(self.temporary / REST, self.rest)
        for rank in range(1, self.index.world_size):
            files |= self._files_of(rank, given_up)
        write_shard_index(self.temporary, self.index.model_copy(update={"files": files}))
        with writing(self.folder):
            replace(self.temporary, self.folder)

    def _files_of(self, rank: int, given_up: threading.Event) -> dict[str, ShardFile]:
        """Wait for the report of another process, and delete it."""
        path = self.temporary / _report_name(rank)
        _wait_until(lambda: is_file(path), given_up)
        report = read_document(path, Report)
        with writing(path):
            delete(path)
        return report.files


class PendingSave:
    """A checkpoint folder that is being written. `folder` is its name when it is complete."""

    def __init__(self, work: _Work, step: int) -> None:
        self.folder, self.step = work.folder, step
        self._work = work
        self._given_up = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"save {work.folder.name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work.run(self._given_up)
        except BaseException as error:  # raised again by `check` and `wait`
            self._error = error

    @property
    def is_done(self) -> bool:
        """Whether this process has finished: for the main one, whether the folder is complete or has failed."""
        return not self._thread.is_alive()

    def check(self) -> None:
        """Raise the error of this process, if there is one. Never waits."""
        if self._error is not None:
            if parallel.world_size() == 1:
                self._remove()
            raise self._error

    def finish(self) -> None:
        """Wait until the folder is complete. All processes have to call this.

        Raises ResourceError in all of them if one could not write its part, or is lost.
        """
        while (status := parallel.all_reduce_max(self._status)) == RUNNING:
            time.sleep(POLL)
        if status == FAILED:
            self._given_up.set()
            self._thread.join()
            self._remove()
            raise self._error or _PartFailed()

    @property
    def _status(self) -> int:
        if not self.is_done:
            return RUNNING
        return DONE if self._error is None else FAILED

    def _remove(self) -> None:
        if parallel.is_main_process():
            shutil.rmtree(self._work.temporary, ignore_errors=True)


class _PartFailed(ResourceError):
    """Another process could not write its part, and prints why."""

    def __init__(self) -> None:
        super().__init__("a part that another process could not write", "all parts of the checkpoint")

    def lines(self) -> list[str]:
        """Return nothing, so that only the other process prints its error."""
        return []


def _wait_until(is_true: Callable[[], bool], given_up: threading.Event, pause: float = POLL) -> None:
    while not is_true():
        if given_up.wait(pause):
            raise _PartFailed


def _report_name(rank: int) -> str:
    return f"report-{rank:05d}.json"
