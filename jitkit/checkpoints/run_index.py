"""`run_index.json`: every file that a run owns.

The newest and the best checkpoint, what `train.keep` and `--overwrite` delete, and what `--resume auto` reads all follow from
this index, never from a number in a file name. Files that are not in it belong to the user: they are not replaced or deleted.

A name is claimed before its file is written. When the file is complete and verified, its size, time, and SHA-256 are
recorded. After a crash, a file that is only claimed may be missing, complete, or an earlier version. Files that grow or
are rewritten all the time (`GROWING`: the log, the state, trackers, and reports) stay claimed. The index itself is written
atomically. A checkpoint folder is one entry, which has the size, time, and SHA-256 of the folder's own index.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from jitkit.checkpoints.shard_index import INDEX as SHARD_INDEX
from jitkit.checkpoints.shard_index import is_checkpoint_folder, is_complete
from jitkit.documents.document import Count, Document, read_document, write_document
from jitkit.files import require_members
from jitkit.filesystem import exists, is_file, is_folder, open_regular

INDEX = "run_index.json"

Kind = Literal[
    "manifest",
    "input",
    "metrics",
    "state",
    "checkpoint",
    "best",
    "report",
    "tracker",
    "teacher",
    "divergence",
    "set aside",
]
GROWING: tuple[Kind, ...] = ("metrics", "state", "report", "tracker")


class RunFile(Document):
    """A file of a run."""

    kind: Kind = Field(description="what the run uses it for; input: a file of tokenizer or codec")
    step: Count | None = Field(None, description="training step of a checkpoint")
    time: str | None = Field(None, description="when it was completed; absent for claimed and growing files")
    size: Count | None = Field(None, description="in bytes; of a checkpoint folder: of its index, as time and sha256")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(None, description="of its content")

    @property
    def is_complete(self) -> bool:
        """Whether the file was complete and verified."""
        return self.sha256 is not None


class RunIndex(Document):
    """`run_index.json`: the files of a run, by name relative to its folder."""

    schema_: Literal["jitkit.run/1"] = Field(alias="schema", description="name and version of this schema")
    files: dict[str, RunFile] = Field(description="by name in the folder")

    def named(self, *kinds: Kind) -> dict[str, RunFile]:
        """Return the files of some kinds, latest step first; files with an unknown step precede all others."""
        found = [(name, file) for name, file in self.files.items() if file.kind in kinds]
        found.sort(key=lambda item: (item[1].step is None, item[1].step or 0, item[1].time or ""), reverse=True)
        return dict(found)

    def updated(self, files: Mapping[str, RunFile], *, without: Iterable[str] = ()) -> RunIndex:
        """Return a copy of the index with new entries for `files`, and without some names."""
        gone = set(without)
        kept = {name: file for name, file in {**self.files, **files}.items() if name not in gone}
        return RunIndex(schema="jitkit.run/1", files=kept)


EMPTY = RunIndex(schema="jitkit.run/1", files={})


def read_index(folder: Path) -> RunIndex | None:
    """Return the index of a run folder; None without one.

    Raises InputError if it is damaged, and RefusedError if it names a file outside the folder.
    """
    path = folder / INDEX
    if not is_file(path):
        return None
    hint = "If you delete it, the next resume rebuilds it from the files."
    index = read_document(path, RunIndex, expected="the index of a run", hint=hint)
    require_members(index.files, taken=[INDEX], file=path, field="files")
    return index


def write_index(folder: Path, index: RunIndex) -> None:
    """Write the index of a run folder. Raises ResourceError if that fails."""
    write_document(folder / INDEX, index)


def add_reports(folder: Path, names: Iterable[str]) -> None:
    """Record reports that another command has written into a run folder. Does nothing in a folder without an index."""
    index = read_index(folder)
    if index is not None and (new := {name: RunFile(kind="report") for name in names if name not in index.files}):
        write_index(folder, index.updated(new))


def model_in_run(folder: Path) -> Path | None:
    """Return the best model of a run folder, else its newest complete checkpoint; None if its index has neither."""
    index = read_index(folder) or EMPTY
    saved = {**index.named("best"), **index.named("checkpoint")}
    complete = (folder / name for name, file in saved.items() if file.is_complete)
    return next((path for path in complete if exists(path)), None)


def is_run_folder(path: Path) -> bool:
    """Return whether `path` is a folder that may hold checkpoints, rather than a checkpoint that is a folder itself."""
    return is_folder(path) and not is_checkpoint_folder(path)


def recorded(path: Path, kind: Kind, step: int | None = None) -> RunFile:
    """Return the entry of a complete file or checkpoint folder. Raises InputError if it cannot be read."""
    with open_regular(path / SHARD_INDEX if is_checkpoint_folder(path) else path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        status = os.fstat(file.fileno())
    return RunFile(kind=kind, step=step, time=_time(status.st_mtime_ns), size=status.st_size, sha256=digest)


def is_unchanged(path: Path, file: RunFile) -> bool:
    """Return whether a complete file still matches its entry. It is read only if its time has changed, as in a copy.

    The files of a checkpoint folder are not read: those that its index lists must have the right sizes.
    """
    if is_checkpoint_folder(path):
        return is_complete(path) and is_unchanged(path / SHARD_INDEX, file)
    if not file.is_complete or not is_file(path):
        return False
    with open_regular(path) as opened:
        status = os.fstat(opened.fileno())
    same_time = _time(status.st_mtime_ns) == file.time
    return status.st_size == file.size and (same_time or recorded(path, file.kind).sha256 == file.sha256)


def _time(nanoseconds: int) -> str:
    """Return a file time as text, in UTC with microseconds."""
    return datetime.fromtimestamp(nanoseconds // 1000 / 1e6, UTC).isoformat(timespec="microseconds")
