"""Atomic file writes: a file is complete or absent, even after a crash.

Stages of each write are points of `jitkit.storage.faults`.
"""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from jitkit.errors import RefusedError, ResourceError, io_reason
from jitkit.filesystem import exists, kind_of, matching, stream_number
from jitkit.storage.faults import VARIABLE, fault_point

SUFFIX = ".jitkit-tmp"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Errors of fsync on folders that do not support it (CIFS, shared folders of virtual machines) or without permission.
NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM}
PACKAGE = Path(__file__).resolve().parents[1]
_TEMPORARY = re.compile(rf"\..*\.[0-9a-f]{{8}}{re.escape(SUFFIX)}", re.DOTALL)


@contextmanager
def atomic_write(path: Path, *, needs: int | None = None) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces `path` if the block succeeds. Otherwise `path` is unchanged.

    File and folder are synced, so that a power failure leaves the old or the new content. A link stays, and its target is
    replaced; an existing file keeps its mode, and if possible its owner. `needs` is the expected size in bytes, for the error
    message. Raises ResourceError if the file cannot be written, or if something else is there, such as a named pipe.
    """
    with writing(path, needs):
        target = _target(path)
        temporary = temporary_name(target)
        try:
            with new_file(temporary, path.name) as file:
                yield file
                _keep_mode(target, file.fileno())
            replace(temporary, target, path.name)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_file(path: Path, content: bytes) -> None:
    """Write a file with `atomic_write`. Raises ResourceError if that fails."""
    with atomic_write(path, needs=len(content)) as file:
        file.write(content)


def write_output(path: Path, content: bytes) -> None:
    """Write a file that the user named, with `write_file`. A named pipe, terminal or stream is written to directly.

    Raises ResourceError if that fails, also if the reader has gone.
    """
    number = stream_number(path)
    with writing(path):
        if number is not None:
            stream = os.fdopen(os.dup(number), "wb")
        elif _is_writable_stream(path):
            stream = path.open("wb")
        else:
            write_file(path, content)
            return
        with stream:
            stream.write(content)


@contextmanager
def new_file(path: Path, name: str | None = None, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Yield a new binary file at `path`. If `durable`, it is on the disk when the block ends.

    `name` is its name in fault points. Raises OSError.
    """
    name = name or path.name
    fault_point(f"{name}:create")
    with io.BufferedWriter(_FaultyFile(path, "xb", name)) as file:
        yield file
        file.flush()
        fault_point(f"{name}:before-fsync")
        if durable:
            os.fsync(file.fileno())
        fault_point(f"{name}:after-fsync")


def open_log(path: Path) -> io.TextIOWrapper:
    """Open a text file to append lines. Raises ResourceError if that fails, or if it is a pipe or a device."""
    with writing(path):
        target = _target(path)
        return io.TextIOWrapper(io.BufferedWriter(_FaultyFile(target, "ab", path.name)), encoding="utf-8")


def replace(source: Path, target: Path, name: str | None = None) -> None:
    """Give the file `source` the name `target`, durably. `name` is its name in fault points. Raises OSError."""
    rename(source, target, name)
    sync_folder(target.parent, name or target.name)


def rename(source: Path, target: Path, name: str | None = None) -> None:
    """Do what `replace` does, but not durably: call `sync_folder` when all files have their names. Raises OSError."""
    name = name or target.name
    fault_point(f"{name}:before-replace")
    source.replace(target)
    fault_point(f"{name}:after-replace")


def delete(path: Path) -> None:
    """Delete a file if it exists. Call `sync_folder` when all are deleted. Raises OSError."""
    fault_point(f"{path.name}:delete")
    path.unlink(missing_ok=True)


def delete_folder(folder: Path) -> None:
    """Delete a folder with its files. A kill leaves it whole, or as a temporary one; see `sweep_folders`. Raises OSError."""
    fault_point(f"{folder.name}:delete")
    temporary = temporary_name(folder)
    folder.replace(temporary)
    shutil.rmtree(temporary, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents if needed. Raises ResourceError if that fails, RefusedError inside jitkit's package."""
    with writing(folder):
        _require_outside_package(folder)
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def folder_in_use(folder: Path) -> Iterator[None]:
    """Create a folder for the block. If the block fails, folders that were created and are still empty are removed again.

    Raises what `make_folder` raises.
    """
    created = [path for path in (folder, *folder.parents) if not exists(path, error=ResourceError)]
    make_folder(folder)
    try:
        yield
    except BaseException:
        for path in created:
            with suppress(OSError):  # it has files
                path.rmdir()
        raise


def sync_folder(folder: Path, name: str | None = None) -> None:
    """Make renames and deletions in `folder` durable, if its file system can. Raises OSError if the disk fails."""
    if os.name == "nt":
        return
    try:
        fault_point(f"{name or folder.name}:folder-fsync")
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def temporary_name(path: Path) -> Path:
    """Return a name for a temporary file or folder next to `path`, which `sweep` recognizes."""
    return path.parent / f".{path.name[:40]}.{secrets.token_hex(4)}{SUFFIX}"


def is_temporary(path: Path) -> bool:
    """Return whether a path has a name of `temporary_name`, and is not a link."""
    return bool(_TEMPORARY.fullmatch(path.name)) and not path.is_symlink()


def sweep(folder: Path) -> None:
    """Delete temporary files of killed processes from `folder`. No other process may be writing to it."""
    for stale in matching(folder, f".*{SUFFIX}", error=ResourceError):
        if is_temporary(stale):
            with suppress(OSError):  # a folder, or a file that cannot be deleted: harmless
                stale.unlink(missing_ok=True)


def sweep_folders(folder: Path, prefix: str) -> None:
    """Delete temporary folders of killed processes whose name began with `prefix`. No other process may be writing to them."""
    for stale in matching(folder, f".{prefix}*{SUFFIX}", error=ResourceError):
        if is_temporary(stale):
            shutil.rmtree(stale, ignore_errors=True)


def require_space(path: Path, needs: int) -> None:
    """Raise ResourceError unless the disk of `path` has `needs` bytes free."""
    with writing(path, needs):
        free = shutil.disk_usage(path.parent).free
    if free < needs:
        raise ResourceError(f"{_size(free)} of free space", f"at least {_size(needs)}", file=path)


@contextmanager
def writing(path: Path, needs: int | None = None) -> Iterator[None]:
    """Raise ResourceError about `path` if writing it inside the block fails."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error, needs) from error


def cannot_write(path: Path, error: OSError, needs: int | None = None) -> ResourceError:
    """Return the error for a failed write to `path`, with the free space if the disk is full."""
    reason, room = io_reason(error), None
    if error.errno == errno.EEXIST:
        return ResourceError("a file", "a folder, or a new name for one", file=path)
    if error.errno in FULL:
        with suppress(OSError):
            room = f"{_size(shutil.disk_usage(path.parent).free)} free"
    if room is None:
        return ResourceError(reason, "a writable location", file=path)
    needed = f"{_size(needs)} needed, " if needs else ""
    return ResourceError(f"{reason} ({needed}{room})", "enough space", file=path)


class _FaultyFile(io.FileIO):
    """A file in which a write can be made to fail halfway."""

    def __init__(self, path: Path, mode: str, label: str) -> None:
        super().__init__(path, mode)
        self._label = label

    def write(self, data: Any, /) -> int:
        """Write some of the bytes, and return how many."""
        if VARIABLE not in os.environ:
            return super().write(data)
        view = memoryview(data).cast("B")
        written = super().write(view[: (len(view) + 1) // 2])
        fault_point(f"{self._label}:write")
        return written


def _target(path: Path) -> Path:
    """Return the file that `path` leads to. Raises ResourceError if it is something else, RefusedError in the package."""
    _require_outside_package(path)
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    with suppress(FileNotFoundError):
        mode = target.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ResourceError(kind_of(mode), "a regular file, or none", file=path)
    return target


def _is_writable_stream(path: Path) -> bool:
    """Return whether `path` is a named pipe or a character device, such as a terminal; not a disk."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _require_outside_package(path: Path) -> None:
    """Raise RefusedError for a path inside the installed package, which all its users share."""
    if Path(os.path.realpath(path)).is_relative_to(PACKAGE):
        raise RefusedError("a path inside the installed package", "a folder of your own", file=path, hint="See --out.")


def _keep_mode(old: Path, descriptor: int) -> None:
    """Give an open file the mode of the file that it replaces, and its owner if possible."""
    with suppress(FileNotFoundError):
        before, now = old.stat(), os.fstat(descriptor)
        if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
            with suppress(PermissionError):
                os.fchown(descriptor, before.st_uid, before.st_gid)
        if before.st_mode != now.st_mode:
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _size(num_bytes: int) -> str:
    value = float(num_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
