"""The folder of a run: which files it has, who may write to it, which checkpoints it keeps."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from jitkit.checkpoints.format import Checkpoint, load_checkpoint
from jitkit.errors import InputError, JitkitError, ResourceError, UsageError
from jitkit.report.run_record import FRONTIER, GALLERY, PAGE, REPORT
from jitkit.storage.atomic import cannot_write, make_folder, sweep, sync_folder, write_file

WRITTEN = (PAGE, REPORT, GALLERY, FRONTIER)  # about a run, beside what it needs
TEACHER = "teacher"  # the folder of the model that a run learns from
_EPOCH = re.compile(r"checkpoint_epoch_(\d+)\.pth")


class RunFolder:
    """`manifest.toml`, `metrics.jsonl`, `checkpoint_epoch_{N}.pth`, `best_model.pth` and the files that tokenizer and codec name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = path / "manifest.toml"
        self.metrics = path / "metrics.jsonl"
        self.best = path / "best_model.pth"
        self.teacher = path / TEACHER

    def checkpoint(self, epoch: int) -> Path:
        """Return where the checkpoint of an epoch lies."""
        return self.path / f"checkpoint_epoch_{epoch}.pth"

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints, newest epoch first."""
        found = [(int(match[1]), path) for path in self.path.glob("*.pth") if (match := _EPOCH.fullmatch(path.name))]
        return [path for _, path in sorted(found, reverse=True)]

    @contextmanager
    def locked(self, *, wait: bool = False) -> Iterator[None]:
        """Make the folder, keep other processes out of it, and sweep what a killed one left half written.

        Where another process is in it, `wait` waits for its end. Raises ResourceError when another process trains there
        or the folder cannot be written.
        """
        lock = FileLock(self.path / ".lock", timeout=-1 if wait else 0)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise ResourceError(
                "another process that trains in this folder", "a folder of its own", file=self.path, hint="See --out."
            ) from error
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            sweep(self.path)
            yield
        finally:
            lock.release()

    def require_fresh(self) -> None:
        """Raise UsageError when there is a run in the folder already."""
        if self.checkpoints() or self.best.exists() or self.metrics.exists():
            raise UsageError(
                "a run in this folder",
                "a folder without one",
                file=self.path,
                hint="--resume auto continues it, --overwrite deletes it, --out chooses another folder.",
            )

    def clear(self) -> None:
        """Delete the run in the folder."""
        for path in [*self.checkpoints(), self.best, self.metrics, *(self.path / name for name in WRITTEN)]:
            path.unlink(missing_ok=True)
        if self.teacher.exists():
            shutil.rmtree(self.teacher)

    def newest_complete(self, note: Callable[[str], None]) -> tuple[Path, Checkpoint] | None:
        """Return the newest checkpoint that is whole, naming damaged ones on the way; None when there is none at all.

        Raises InputError when there are checkpoints and all of them are damaged.
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
                    note(f"continuing from the one before it, {path.name} (step {checkpoint.step})")
                return path, checkpoint
        if damaged:
            raise InputError(problems=[problem for error in damaged for problem in error.problems])
        return None

    def write_recipe(self, manifest: str, files: dict[str, bytes]) -> None:
        """Write the resolved manifest and the files it names, so that the folder stands alone."""
        for name, content in {**files, self.manifest.name: manifest.encode()}.items():
            make_folder((self.path / name).parent)
            write_file(self.path / name, content)

    def prune(self, keep: int, note: Callable[[str], None]) -> None:
        """Delete the oldest checkpoints beyond `keep`; one that cannot be deleted is noted and stays."""
        for path in self.checkpoints()[keep:]:
            try:
                path.unlink()
            except OSError as error:
                note(f"warning: {path}: could not delete the old checkpoint ({error.strerror})")
        sync_folder(self.path)
