"""Runs of earlier versions, whose folder has no index: what belongs to them is read from their files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from jitkit.checkpoints.format import load_checkpoint
from jitkit.checkpoints.open import BEST
from jitkit.checkpoints.run_index import EMPTY, Kind, RunFile, RunIndex, recorded
from jitkit.checkpoints.shard_index import is_checkpoint_folder, read_shard_index, require_sizes
from jitkit.errors import JitkitError
from jitkit.filesystem import is_file, matching, open_regular, read_bytes
from jitkit.report.run_record import FRONTIER, GALLERY, LOG, PAGE, REPORT
from jitkit.storage.exported_folder import MANIFEST
from jitkit.training.run_state import RUN_STATE

STEP = "checkpoint_step_"  # how the names of checkpoint folders begin
_CHECKPOINT = re.compile(r"checkpoint_epoch_\d+\.pth")


def index_of_earlier_run(folder: Path) -> RunIndex:
    """Return the index that a run without one would have; empty for a folder without a run.

    Those versions replaced whatever had the name of one of their files, so names determine which files belong to the
    run. Reports are the exception: only those written by jitkit are. The step of a checkpoint is read from it, and
    unknown if it is damaged.
    """
    saved = [path for path in matching(folder, "checkpoint_epoch_*.pth") if _CHECKPOINT.fullmatch(path.name)]
    saved += [path for path in matching(folder, f"{STEP}*") if is_checkpoint_folder(path)]
    log = folder / LOG
    if not saved and not (is_file(log) and _is_log(log)):
        return EMPTY
    files = {path.name: checkpoint_entry(path, "checkpoint") for path in saved}
    if is_file(folder / BEST):
        files[BEST] = checkpoint_entry(folder / BEST, "best")
    if is_file(folder / MANIFEST):
        files[MANIFEST] = recorded(folder / MANIFEST, "manifest")
    if is_file(log):
        files[LOG] = RunFile(kind="metrics")
    if _is_document(folder / RUN_STATE):  # the user has deleted the index
        files[RUN_STATE] = RunFile(kind="state")
    return EMPTY.updated(files | {name: RunFile(kind="report") for name in _reports(folder)})


def checkpoint_entry(path: Path, kind: Kind, step: int | None = None) -> RunFile:
    """Read a checkpoint and return its entry. A damaged one has no size and hash, and the step `step`.

    Of a checkpoint folder, only the index is read. The other files are checked when it is loaded.
    """
    try:
        if is_checkpoint_folder(path):
            index = read_shard_index(path)
            require_sizes(path, index)
            return recorded(path, kind, index.step)
        return recorded(path, kind, load_checkpoint(path).step)
    except JitkitError:
        return RunFile(kind=kind, step=step)


def _reports(folder: Path) -> Iterator[str]:
    """Yield the names of the reports in a folder that jitkit has written."""
    documents = [name for name in (REPORT, GALLERY, FRONTIER) if _is_document(folder / name)]
    yield from documents
    if documents and is_file(folder / PAGE):
        yield PAGE


def _is_document(path: Path) -> bool:
    if not is_file(path):
        return False
    try:
        document = json.loads(read_bytes(path))
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and str(document.get("schema")).startswith("jitkit.")


def _is_log(path: Path) -> bool:
    """Return whether the first line of a file is one of a run's log; an empty file may become one."""
    with open_regular(path) as file:
        first = file.readline(2**16)
    try:
        return not first or "step" in json.loads(first)
    except (ValueError, TypeError, RecursionError):
        return False
