"""Which checkpoints a run keeps: the latest ones, and in subfolders those of a future that it has gone back from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count

from jitkit.checkpoints.run_index import is_unchanged
from jitkit.filesystem import exists, is_file, read_bytes
from jitkit.report.run_record import LOG
from jitkit.storage.atomic import make_folder, sync_folder
from jitkit.training.run_files import RunFiles

SET_ASIDE = "set-aside"  # prefix of subfolders for checkpoints later than the one that a run went back to


def prune_checkpoints(run: RunFiles, keep: int, note: Callable[[str], None]) -> None:
    """Delete all but the latest `keep` checkpoints that are complete. One that cannot be deleted is noted."""
    kept, gone = 0, []
    for name, file in run.index.named("checkpoint").items():
        if kept < keep:
            kept += is_unchanged(run.at(name), file)
        elif run.delete(name, note):
            gone.append(name)
    if gone:
        with suppress(OSError):  # after a power failure, they would be there again
            sync_folder(run.path)
        run.update(without=gone)


def delete_files(run: RunFiles, note: Callable[[str], None]) -> None:
    """Delete the files of the run, and the subfolders that are then empty."""
    gone = [name for name in run.index.files if run.delete(name, note)]
    for folder in sorted({run.at(name).parent for name in gone} - {run.path}, reverse=True):
        with suppress(OSError):  # the user's own files are in it
            folder.rmdir()
    run.update(without=gone)


def set_aside_after(run: RunFiles, step: int, note: Callable[[str], None]) -> None:
    """Move checkpoints and a best model of later steps, and damaged ones, to a subfolder, with a copy of the log."""
    saved = run.index.named("checkpoint", "best")
    later = {name: file for name, file in saved.items() if file.step is None or file.step > step}
    later = {name: file for name, file in later.items() if exists(run.at(name))}
    if not later:
        return
    folder = next(path for number in count(1) if not exists(path := run.at(f"{SET_ASIDE}-{number}")))
    make_folder(folder)
    if is_file(run.at(LOG)):
        run.write({f"{folder.name}/{LOG}": ("set aside", read_bytes(run.at(LOG)))})
    for name, file in later.items():
        run.move(name, f"{folder.name}/{name}", file.model_copy(update={"kind": "set aside"}))
    run.update(without=later)
    note(f"going back to step {step}: {', '.join(later)} set aside in {folder}")
