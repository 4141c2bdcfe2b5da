"""Git LFS pointers: the small text files that a clone contains until `git lfs pull` downloads the real ones."""

from __future__ import annotations

from jitkit.errors import InputError

PREFIX = b"version https://git-lfs"
MAX_POINTER = 1024  # bytes; the specification of Git LFS allows no larger pointer
FOUND, HINT = "a Git LFS pointer", "`git lfs pull` downloads the file."


def is_pointer(data: bytes) -> bool:
    """Return whether `data`, a file or its first `MAX_POINTER` bytes, is a pointer."""
    return data.startswith(PREFIX) and len(data) < MAX_POINTER


def refuse_pointer(data: bytes, file: object, *, field: str | None = None) -> None:
    """Raise InputError if `data`, a file or its first `MAX_POINTER` bytes, is a pointer."""
    if is_pointer(data):
        raise InputError(FOUND, "the file that it stands for", file=file, field=field, hint=HINT)
