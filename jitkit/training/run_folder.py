"""The folder of a run: its files, its lock, and the checkpoints it keeps."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from jitkit.checkpoints.format import Checkpoint, load_checkpoint
from jitkit.errors import InputError, JitkitError, ResourceError, UsageError
from jitkit.files import member_path, require_members
from jitkit.filesystem import exists, matching
from jitkit.report.run_record import FRONTIER, GALLERY, PAGE, REPORT
from jitkit.storage.atomic import cannot_write, make_folder, sweep, sync_folder, write_file
from jitkit.training.reporting import truncate

DOCUMENTS = (PAGE, REPORT, GALLERY, FRONTIER)  # made from a run, not needed by it
LOCK = ".lock"
TEACHER = "teacher"  # subfolder of the model that a run distills
_EPOCH = re.compile(r"checkpoint_epoch_(\d+)\.pth")


class RunFolder:
    """`manifest.toml`, `metrics.jsonl`, `checkpoint_epoch_{N}.pth`, `best_model.pth`, and files of tokenizer and codec."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = path / "manifest.toml"
        self.metrics = path / "metrics.jsonl"
        self.best = path / "best_model.pth"
        self.teacher = path / TEACHER

    def checkpoint(self, epoch: int) -> Path:
        """Return the path of the checkpoint of an epoch."""
        return self.path / f"checkpoint_epoch_{epoch}.pth"

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints, newest epoch first."""
        found = [
            (int(match[1]), path) for path in matching(self.path, "*.pth") if (match := _EPOCH.fullmatch(path.name))
        ]
        return [path for _, path in sorted(found, reverse=True)]

    @contextmanager
    def locked(self, *, wait: bool = False) -> Iterator[None]:
        """Create the folder, lock it against other processes, and delete temporary files of killed ones.

        `wait` waits for another process to finish. Raises ResourceError if another process trains in the folder or it
        cannot be written.
        """
        lock = FileLock(self.path / LOCK, timeout=-1 if wait else 0)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise ResourceError(
                "another process that trains in this folder", "a free folder", file=self.path, hint="See --out."
            ) from error
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            sweep(self.path)
            yield
        finally:
            lock.release()

    def require_fresh(self) -> None:
        """Raise UsageError if there is a run in the folder."""
        if self.checkpoints() or exists(self.best) or exists(self.metrics):
            hint = "--resume auto continues it, --overwrite deletes it, --out chooses another folder."
            raise UsageError("a run in this folder", "a folder without one", file=self.path, hint=hint)

    def newest_complete(self, note: Callable[[str], None]) -> tuple[Path, Checkpoint] | None:
        """Return the newest checkpoint that is intact; None if there is no checkpoint at all. Damaged ones are noted.

        Raises InputError if all checkpoints are damaged.
        """
        damaged: list[JitkitError] = []
        for path in self.checkpoints():
            try:
                checkpoint = load_checkpoint(path)
            except InputError as error:
                damaged.append(error)
                note(f"warning: {error}")
            else:
                if damaged:
                    note(f"continuing from an older one, {path.name} (step {checkpoint.step})")
                return path, checkpoint
        if damaged:
            raise InputError(problems=[problem for error in damaged for problem in error.problems])
        return None

    def begin(self, manifest: str, files: Mapping[str, bytes], step: int, *, validated: bool, clear: bool) -> None:
        """Prepare the folder for a run that is at `step`: write the resolved manifest and the files it names.

        `clear` deletes the run that is there. Otherwise its metrics are cut back to `step`; see `truncate`. Raises
        RefusedError, before anything is changed, if a name is unsafe or that of another file of the run.
        """
        own = (path.name for path in (self.manifest, self.metrics, self.best, self.path / LOCK))
        checkpoints = (name for name in files if _EPOCH.fullmatch(name))
        require_members(files, taken=(*own, *DOCUMENTS, *checkpoints), file=self.path, field="tokenizer")
        if clear:
            for path in [*self.checkpoints(), self.best, self.metrics, *(self.path / name for name in DOCUMENTS)]:
                path.unlink(missing_ok=True)
            if exists(self.teacher):
                shutil.rmtree(self.teacher)
        truncate(self.metrics, step, validated=validated)
        for name, content in {**files, self.manifest.name: manifest.encode()}.items():
            path = member_path(self.path, name, field="tokenizer")
            make_folder(path.parent)
            write_file(path, content)

    def prune(self, keep: int, note: Callable[[str], None]) -> None:
        """Delete all but the newest `keep` checkpoints. One that cannot be deleted is noted."""
        for path in self.checkpoints()[keep:]:
            try:
                path.unlink()
            except OSError as error:
                note(f"warning: {path}: could not delete the old checkpoint ({error.strerror})")
        sync_folder(self.path)
