"""Reading a run folder: manifest, log, and documents."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jitkit.documents.document import DocumentT, MetricValues, Provenance, read_document
from jitkit.documents.log import read_log
from jitkit.documents.schemas import Evaluation, Frontier, Gallery
from jitkit.errors import InputError
from jitkit.files import hint_inside
from jitkit.filesystem import exists, is_file, is_folder, real_path
from jitkit.manifest.source import ManifestSource

MANIFEST, LOG = "manifest.toml", "metrics.jsonl"
REPORT, GALLERY, FRONTIER, PAGE = "report.json", "gallery.json", "frontier.json", "report.html"


@dataclass(frozen=True)
class RunRecord:
    """The contents of a run folder; everything except its name may be missing."""

    name: str
    folder: Path
    manifest: dict[str, Any] = field(default_factory=dict)
    log: list[dict[str, float]] = field(default_factory=list)
    evaluation: Evaluation | None = None
    gallery: Gallery | None = None
    frontier: Frontier | None = None

    @property
    def step(self) -> int | None:
        """The last known step."""
        known = [document.step for document in (self.evaluation, self.gallery) if document]
        return max([*known, *(int(line["step"]) for line in self.log[-1:])], default=None)

    @property
    def validation_loss(self) -> float | None:
        """The lowest validation loss in the log."""
        return min((line["validation_loss"] for line in self.log if "validation_loss" in line), default=None)

    @property
    def validation_windows(self) -> int | None:
        """The number of windows behind each validation loss, if a document tells it."""
        return next((made.validation_windows for made in self._provenances if made.validation_windows), None)

    @property
    def initial(self) -> str | None:
        """The model that the first weights came from; None without one, or if no document tells it."""
        return next((made.initial for made in self._provenances if made.initial), None)

    @property
    def teacher(self) -> str | None:
        """The model that the run distilled; None without one, or if no document tells it."""
        return next((made.teacher for made in self._provenances if made.teacher), None)

    @property
    def _provenances(self) -> list[Provenance]:
        return [document.provenance for document in (self.evaluation, self.gallery) if document]

    @property
    def measurements(self) -> dict[str, MetricValues]:
        """The measurements of the evaluation, by metric."""
        return self.evaluation.measurements if self.evaluation else {}


def is_run(folder: Path) -> bool:
    """Return whether `folder` is a training run."""
    return is_file(folder / LOG)


def read_run(folder: Path) -> RunRecord:
    """Return the record of a run folder, or of a folder written by `jitkit eval --out`.

    Raises InputError for any other folder and for a damaged file.
    """
    if not _is_record(folder):
        other = "a file" if exists(folder) else "no such folder"
        found = "a folder without metrics.jsonl or report.json" if is_folder(folder) else other
        expected, hint = "a folder written by `jitkit train` or `jitkit eval --out`", hint_inside(folder, _is_record)
        raise InputError(found, expected, file=folder, hint=hint)
    record = RunRecord(
        name=real_path(folder).name,
        folder=folder,
        log=_log(folder / LOG),
        evaluation=_document(folder / REPORT, Evaluation),
        gallery=_document(folder / GALLERY, Gallery),
        frontier=_document(folder / FRONTIER, Frontier),
    )
    return replace(record, manifest=_manifest(folder, record.evaluation))


def _is_record(folder: Path) -> bool:
    return any(is_file(folder / name) for name in (LOG, REPORT, GALLERY, FRONTIER))


def _document(path: Path, kind: type[DocumentT]) -> DocumentT | None:
    return read_document(path, kind) if is_file(path) else None


def _manifest(folder: Path, evaluation: Evaluation | None) -> dict[str, Any]:
    """Return the manifest in a folder, else that of its evaluation; empty if there is neither."""
    if is_file(folder / MANIFEST):
        return ManifestSource.read(folder / MANIFEST).parse()
    return ManifestSource(str(folder / REPORT), evaluation.provenance.manifest).parse() if evaluation else {}


def _log(path: Path) -> list[dict[str, float]]:
    """Return the numbers in the lines of a log, without a last line that was cut off by a kill."""
    lines = read_log(path) if is_file(path) else []
    return [{key: float(value) for key, value in line.items() if isinstance(value, int | float)} for line in lines]
