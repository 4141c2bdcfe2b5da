"""Atomic file writes: a file is complete or absent, even after a crash."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from jitkit.errors import ResourceError, io_reason

SUFFIX = ".jitkit-tmp"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_write(path: Path, *, needs: int | None = None) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces `path` if the block succeeds. Otherwise `path` is unchanged.

    File and folder are synced, so that a power failure leaves the old or the new content. `needs` is the expected size in
    bytes, for the error message. Raises ResourceError if the file cannot be written.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}{SUFFIX}"
    with writing(path, needs):
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Write a file with `atomic_write`. Raises ResourceError if that fails."""
    with atomic_write(path, needs=len(content)) as file:
        file.write(content)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents if needed. Raises ResourceError if that fails."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames and deletions in `folder` durable, if the system allows opening a folder."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Delete temporary files of killed processes from `folder`. No other process may be writing to it."""
    for stale in folder.glob(f".*{SUFFIX}"):
        stale.unlink(missing_ok=True)


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
    reason = io_reason(error)
    if error.errno not in FULL or not path.parent.is_dir():
        return ResourceError(reason, "a writable location", file=path)
    needed = f"{_size(needs)} needed, " if needs else ""
    room = f"{needed}{_size(shutil.disk_usage(path.parent).free)} free"
    return ResourceError(f"{reason} ({room})", "enough space", file=path)


def _size(num_bytes: int) -> str:
    value = float(num_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
