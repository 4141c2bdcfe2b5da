"""A group of files that is written as a whole: all of them appear in a folder, or none does, even after a crash."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from jitkit.errors import InputError, ResourceError, UsageError, shown
from jitkit.files import member_path
from jitkit.filesystem import entries, exists, is_folder, matching, read_bytes
from jitkit.storage.atomic import (
    SUFFIX,
    delete,
    folder_in_use,
    is_temporary,
    rename,
    sweep,
    sync_folder,
    temporary_name,
    write_file,
    writing,
)

NEW, OLD, MOVES, LOCK = "new", "old", "moves.json", "lock"  # in the temporary folder


@contextmanager
def atomic_folder(folder: Path, *, last: str, replaces: Iterable[str] = ()) -> Iterator[Path]:
    """Yield an empty folder whose files move into `folder` if the block succeeds: all of them, or none.

    `last` names the file that makes the folder complete, such as its index. It moves after the others, so a reader that
    needs it never sees a part of them. `replaces` names the files of an earlier version, which are removed. After a kill,
    `undo_unfinished` restores the earlier state; it is called first here. Raises UsageError if another file has the name
    of a new one, ResourceError if the folder cannot be written.
    """
    temporary = temporary_name(folder / "folder")
    with folder_in_use(folder), writing(folder):
        undo_unfinished(folder)
        try:
            for place in (temporary, temporary / NEW, temporary / OLD):
                place.mkdir()
            with _locked(temporary):
                yield temporary / NEW
                _move(temporary, folder, last, {name for name in replaces if exists(member_path(folder, name))})
        finally:
            _undo(temporary, folder)


def undo_unfinished(folder: Path) -> None:
    """Undo what killed processes have begun to write into `folder` with `atomic_folder`, and delete their temporary files.

    Raises ResourceError if another process is writing into the folder.
    """
    sweep(folder)
    for temporary in matching(folder, f".folder.*{SUFFIX}"):
        if is_temporary(temporary) and is_folder(temporary):
            with writing(folder), _locked(temporary):
                _undo(temporary, folder)


def _move(temporary: Path, folder: Path, last: str, old: set[str]) -> None:
    """Replace the files `old` of `folder` by the new ones."""
    names = sorted(_files_in(temporary / NEW), key=lambda name: (name == last, name))
    for name in names:
        if name not in old and exists(member_path(folder, name)):
            raise UsageError(f"a file {shown(name)}", "a folder without one", file=folder)
    write_file(temporary / MOVES, json.dumps(names).encode())
    _rename(sorted(old, key=lambda name: (name != last, name)), folder, temporary / OLD)
    _rename(names[:-1], temporary / NEW, folder)
    _rename(names[-1:], temporary / NEW, folder)
    delete(temporary / MOVES)  # from now on, nothing is undone
    sync_folder(temporary)


def _undo(temporary: Path, folder: Path) -> None:
    """Undo the recorded moves, then delete the temporary folder."""
    if exists(temporary / MOVES):
        for name in _recorded(temporary / MOVES):
            if not exists(member_path(temporary / NEW, name)):
                delete(member_path(folder, name))
                for parent in PurePosixPath(name).parents[:-1]:
                    with suppress(OSError):  # it has other files
                        member_path(folder, str(parent)).rmdir()
        _rename(_files_in(temporary / OLD), temporary / OLD, folder)
        delete(temporary / MOVES)
    shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _locked(temporary: Path) -> Iterator[None]:
    """Hold the lock of a temporary folder. Raises ResourceError if another process does."""
    lock = FileLock(temporary / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ResourceError("another process that writes here", "an idle folder", file=temporary.parent) from error
    try:
        yield
    finally:
        lock.release()


def _recorded(moves: Path) -> list[str]:
    try:
        return [str(name) for name in json.loads(read_bytes(moves))]
    except (ValueError, TypeError) as error:
        raise InputError("a damaged list", "the files that a killed process moved", file=moves) from error


def _files_in(folder: Path) -> list[str]:
    """Return the names of all files in a folder and in its folders, but not through links."""
    names = []
    waiting = [] if folder.is_symlink() else [folder]
    while waiting:
        for path in entries(waiting.pop()):
            if is_folder(path) and not path.is_symlink():
                waiting.append(path)
            else:
                names.append(path.relative_to(folder).as_posix())
    return names


def _rename(names: Iterable[str], source: Path, target: Path) -> None:
    """Move files from one folder to another, durably."""
    places = {target}
    for name in names:
        path = member_path(target, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        rename(member_path(source, name), path)
        places.add(path.parent)
    for place in places:
        sync_folder(place)
