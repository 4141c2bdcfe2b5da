"""SHA-256 of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from jitkit.errors import InputError, RefusedError


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Raises InputError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError((error.strerror or str(error)).lower(), "a readable file", file=path) from error


def require_sha256(path: Path, expected: str) -> None:
    """Raise RefusedError unless the file's SHA-256 is `expected` (64 hexadecimal digits)."""
    if (found := sha256_of(path)) != expected:
        raise RefusedError(found, expected, file=path, field="sha256")
