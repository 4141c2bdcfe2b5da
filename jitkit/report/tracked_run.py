"""What a tracker needs to know of its run, and where it finds its record again."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jitkit.documents.document import read_document, write_document
from jitkit.documents.log import Line, read_log
from jitkit.documents.schemas import Gallery, TrackerRecords
from jitkit.filesystem import is_file, read_bytes, real_path
from jitkit.report.run_record import GALLERY, LOG, MANIFEST

RECORDS = "trackers.json"  # a tracker that calls `remember` has this name in its `files`


@dataclass(frozen=True)
class TrackedRun:
    """A run folder as it is when trackers are opened."""

    folder: Path
    manifest: str = ""  # resolved, TOML; empty in a folder without one
    log: list[Line] = field(default_factory=list)  # the lines of a resumed run, up to its checkpoint
    gallery: Gallery | None = None  # of the last validation, which may be later than the checkpoint

    @classmethod
    def read(cls, folder: Path) -> TrackedRun:
        """Read manifest, log, and gallery of a folder; each may be missing."""
        manifest = read_bytes(folder / MANIFEST).decode() if is_file(folder / MANIFEST) else ""
        log = read_log(folder / LOG) if is_file(folder / LOG) else []
        return cls(
            folder, manifest, log, read_document(folder / GALLERY, Gallery) if is_file(folder / GALLERY) else None
        )

    @property
    def name(self) -> str:
        """The name of the folder."""
        return real_path(self.folder).name

    @property
    def settings(self) -> dict[str, Any]:
        """The manifest as nested tables."""
        return tomllib.loads(self.manifest)

    @property
    def model(self) -> str:
        """The `id` of the manifest, or the name of a folder without one."""
        return str(self.settings.get("id", self.name))

    @property
    def last_step(self) -> int:
        """The last step of the log; -1 for a new run."""
        return int(self.log[-1]["step"]) if self.log else -1

    def record(self, tracker: str) -> str | None:
        """Return the ID that a tracker has stored; None if it has none. Raises InputError if the file is damaged."""
        return self._records.get(tracker)

    def remember(self, tracker: str, record: str) -> None:
        """Store the ID of a tracker's record in the run folder."""
        records = {**self._records, tracker: record}
        if records != self._records:
            write_document(self.folder / RECORDS, TrackerRecords(records=records))

    @property
    def _records(self) -> dict[str, str]:
        path = self.folder / RECORDS
        return read_document(path, TrackerRecords).records if is_file(path) else {}
