"""Which process works at which run of a grid, so that several can carry out one grid in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from jitkit.storage.atomic import cannot_write, make_folder


@contextmanager
def try_lock(run: Path) -> Iterator[bool]:
    """Yield whether the run is this process's own until the block ends; False while another process works at it.

    The claim is a locked file beside the run's folder, which a process that dies lets go of. Raises ResourceError when
    it cannot be written.
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
