"""Verifying checkpoints: each file is read as a whole, and its content compared with its checksums."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jitkit.checkpoints.format import Checkpoint, read_checkpoint
from jitkit.checkpoints.run_index import EMPTY, INDEX, is_run_folder, read_index
from jitkit.checkpoints.weights import SUFFIX, read_exported
from jitkit.errors import InputError
from jitkit.files import member_path


def checkpoints_at(path: Path) -> Iterator[Path]:
    """Yield a checkpoint, or all complete ones of a run folder. Raises InputError for a folder without one."""
    if not is_run_folder(path):
        yield path
        return
    files = (read_index(path) or EMPTY).named("checkpoint", "best", "set aside")
    names = [name for name, file in files.items() if file.step is not None]
    if not names:
        raise InputError("a folder without a checkpoint", "a checkpoint or a run folder", file=path)
    yield from (member_path(path, name, field=INDEX) for name in names)


def verified(path: Path) -> tuple[Checkpoint, str]:
    """Return a checkpoint, and the SHA-256 of its file or of the index of its folder.

    Raises InputError if a file is missing or damaged, and RefusedError if it holds code or does not fit its manifest.
    """
    checkpoint, file = read_exported(path) if path.suffix == SUFFIX else read_checkpoint(path)
    return checkpoint, file.sha256
