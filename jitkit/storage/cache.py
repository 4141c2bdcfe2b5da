"""The cache folder, for files that can be recreated: prepared text, downloaded vocabularies."""

from __future__ import annotations

import os
from pathlib import Path

from jitkit.errors import ResourceError, io_reason


def cache_folder(*parts: str) -> Path:
    """Return a folder in ``$JITKIT_CACHE`` (else ``$XDG_CACHE_HOME/jitkit``, else ``~/.cache/jitkit``), created if needed.

    Only the user can access new folders (mode 0700). Raises ResourceError if a folder cannot be created.
    """
    home = os.environ.get("JITKIT_CACHE")
    base = Path(home) if home else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jitkit"
    folder = base
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in parts:
            folder = folder / part
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        hint = "Set JITKIT_CACHE to a writable folder."
        raise ResourceError(io_reason(error), "a writable folder", file=folder, hint=hint) from error
    return folder
