"""Where jitkit keeps what it can make again: prepared text, downloaded vocabularies."""

from __future__ import annotations

import os
from pathlib import Path

from jitkit.errors import ResourceError


def cache_folder(*parts: str) -> Path:
    """Return a folder below ``$JITKIT_CACHE`` (else ``$XDG_CACHE_HOME/jitkit``, else ``~/.cache/jitkit``), made if absent.

    Folders are made for the user alone (0700). Raises ResourceError when that is not possible.
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
        raise ResourceError(
            (error.strerror or str(error)).lower(),
            "a folder that can be written",
            file=folder,
            hint="Set JITKIT_CACHE to one.",
        ) from error
    return folder
