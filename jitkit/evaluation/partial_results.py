"""Partial results of an evaluation, stored next to the checkpoint, so that an interrupted evaluation can continue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jitkit import parallel
from jitkit.errors import InputError, JitkitError, ResourceError
from jitkit.filesystem import entries, is_folder, matching, read_bytes
from jitkit.storage.atomic import delete, sweep, write_file


@dataclass
class PartialResults:
    """Values by name in `folder` (None: nothing is stored), one file each, for one `identity` of the evaluation.

    A folder that cannot be written is not an error: `failure` then holds the reason.
    """

    folder: Path | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    failure: str | None = None
    reused: int = 0

    def get(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return the value called `name` (plain data): the stored one, or a computed one, which is then stored.

        Processes that share the evaluation use what the main one has stored.
        """
        found = parallel.agreed(self._read(name))
        if found is not None:
            self.reused += 1
            return found
        value = compute()
        self._write(name, value)
        return value

    def _read(self, name: str) -> Any:
        if self.folder is None:
            return None
        try:
            return json.loads(read_bytes(self._path(self.folder, name)))["value"]
        except (InputError, ValueError, KeyError, TypeError):
            return None

    def _write(self, name: str, value: Any) -> None:
        if self.folder is None:
            return
        try:
            self.folder.mkdir(exist_ok=True)
            document = {"name": name, "of": self.identity, "value": value}
            write_file(self._path(self.folder, name), json.dumps(document, allow_nan=False).encode())
        except (OSError, ResourceError) as error:
            self.failure, self.folder = str(error), None

    def _path(self, folder: Path, name: str) -> Path:
        return folder / f"{self._prefix}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"

    @property
    def notes(self) -> list[str]:
        """What a reader of the report should know."""
        notes = ["an interrupted evaluation was continued"] if self.reused else []
        return notes + ([f"partial results could not be stored: {self.failure}"] if self.failure else [])

    def delete(self) -> None:
        """Delete the values of this evaluation, and the folder if it is then empty."""
        if self.folder is None or not is_folder(self.folder):
            return
        with suppress(OSError, JitkitError):  # leftovers are harmless
            sweep(self.folder)
            for path in matching(self.folder, f"{self._prefix}*.json"):
                delete(path)
            if not entries(self.folder):
                self.folder.rmdir()

    @property
    def _prefix(self) -> str:
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]
