"""Text on standard input, kept as a file: training reads a text twice, and a resumed run reads it again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from jitkit.data.compression import MAX_DOCUMENT
from jitkit.data.pieces import PIECE
from jitkit.errors import InputError, RefusedError, UsageError, reading
from jitkit.storage.atomic import delete, new_file, replace, temporary_name, writing
from jitkit.storage.cache import cache_folder

NAME = "-"


def keep_standard_input() -> Path:
    """Return the file in the cache to which all of standard input was copied. Its name is a hash of its content.

    Raises UsageError if it is a terminal, or shared by several processes, InputError if it is empty or cannot be read,
    RefusedError above `MAX_DOCUMENT` bytes, ResourceError if the cache is not writable.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("standard input, which several processes share", "a file", field=NAME)
    if os.isatty(0):
        hint = "As in `cat novel.txt | jitkit train jit-nano --data -`"
        raise UsageError("a terminal as standard input", "a text", field=NAME, hint=hint)
    folder = cache_folder("standard-input")
    temporary = temporary_name(folder / "new")
    try:
        with writing(folder):
            digest = _copy(temporary)
            path = folder / f"{digest[:32]}.txt"
            replace(temporary, path)
    finally:
        delete(temporary)
    return path


def _copy(path: Path) -> str:
    """Write standard input to a new file, and return its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with new_file(path) as file:
        while True:
            with reading("standard input", "a text"):
                data = os.read(0, PIECE)
            if not data:
                break
            digest.update(data)
            file.write(data)
            size += len(data)
            if size > MAX_DOCUMENT:
                hint = "Split it into several files."
                raise RefusedError(
                    f"more than {MAX_DOCUMENT} bytes", "a smaller text", file="standard input", hint=hint
                )
    if not size:
        raise InputError("nothing", "a text", file="standard input")
    return digest.hexdigest()
