"""The cache folder, for files that can be recreated: prepared text, downloaded vocabularies."""

from __future__ import annotations

import os
from pathlib import Path

from jitkit.errors import ResourceError, io_reason
from jitkit.filesystem import expanded


def cache_folder(*parts: str) -> Path:
    """Return a folder in ``$JITKIT_CACHE`` (else ``$XDG_CACHE_HOME/jitkit``, else ``~/.cache/jitkit``), created if needed.

    Only the user can access new folders (mode 0700). Raises ResourceError if a folder cannot be created.
    """
    home = os.environ.get("JITKIT_CACHE")
    folder = Path(home) if home else expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "jitkit"
    hint = "Set JITKIT_CACHE to a writable folder."
    if folder.parts[0] == "~":  # without HOME, of a user that the system does not know
        raise ResourceError("no home folder", "one for the cache", field="JITKIT_CACHE", hint=hint)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in parts:
            folder = folder / part
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ResourceError(io_reason(error), "a writable folder", file=folder, hint=hint) from error
    return folder
