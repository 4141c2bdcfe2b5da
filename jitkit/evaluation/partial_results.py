"""What an evaluation has finished, kept beside the checkpoint until it is done, so that an interrupted one goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jitkit.errors import ResourceError
from jitkit.storage.atomic import atomic_write, sweep


@dataclass
class PartialResults:
    """Values by name in `folder` (None: nothing is kept), each in a file of its own that also says what it is `of`.

    A value is only found again for the very same `of`: checkpoint, settings, windows and versions. What cannot be written
    is not kept, and `failure` says why; a measurement does not fail for that.
    """

    folder: Path | None = None
    of: Mapping[str, Any] = field(default_factory=dict)
    failure: str | None = None
    reused: int = 0

    def get(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return the value `name`, plain data, kept from before or computed now and kept."""
        if self.folder is None:
            return compute()
        path = self.folder / f"{self._key(name)}.json"
        try:
            found = json.loads(path.read_bytes())["value"]
        except (OSError, ValueError, KeyError, TypeError):
            found = None
        if found is not None:
            self.reused += 1
            return found
        value = compute()
        self._write(path, {"name": name, "of": self.of, "value": value})
        return value

    def forget(self) -> None:
        """Delete what is kept for this evaluation; the folder too, when nothing else is in it."""
        if self.folder is None or not self.folder.is_dir():
            return
        sweep(self.folder)
        for path in self.folder.glob("*.json"):
            if path.name.startswith(self._prefix):
                path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _write(self, path: Path, document: Mapping[str, Any]) -> None:
        try:
            path.parent.mkdir(exist_ok=True)
            with atomic_write(path) as file:
                file.write(json.dumps(document, allow_nan=False).encode())
        except (OSError, ResourceError) as error:
            self.failure = str(error)
            self.folder = None

    def _key(self, name: str) -> str:
        return f"{self._prefix}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"

    @property
    def _prefix(self) -> str:
        return hashlib.sha256(json.dumps(self.of, sort_keys=True).encode()).hexdigest()[:16]
