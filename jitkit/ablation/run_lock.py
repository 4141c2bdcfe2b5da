"""A lock per run, so that several processes can share one grid in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from jitkit.storage.atomic import cannot_write, make_folder


@contextmanager
def try_lock(run: Path) -> Iterator[bool]:
    """Hold the lock of a run during the block; yield False if another process holds it.

    The lock file lies next to the run folder. The system releases it when its process dies. Raises ResourceError if the
    file cannot be written.
    """
    make_folder(run.parent)
    lock = FileLock(run.with_name(f".{run.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        raise cannot_write(run, error) from error
    try:
        yield True
    finally:
        lock.release()
