"""The folder of a run: its lock, its beginning, and its checkpoints."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace as replace_fields
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from jitkit import parallel
from jitkit.checkpoints.format import Checkpoint, save_checkpoint
from jitkit.checkpoints.open import BEST
from jitkit.checkpoints.run_index import INDEX, Kind, RunFile, is_unchanged, read_index, write_index
from jitkit.checkpoints.save_shards import PendingSave, RemoteCopies, save_shards
from jitkit.documents.log import read_log
from jitkit.errors import JitkitError, ResourceError, UsageError
from jitkit.files import require_members
from jitkit.filesystem import entries, exists, is_file, is_folder
from jitkit.report.run_record import GALLERY, LOG, PAGE
from jitkit.storage.atomic import cannot_write, delete, folder_in_use, require_space, sweep, sweep_folders
from jitkit.storage.exported_folder import MANIFEST
from jitkit.training.earlier_run import STEP, checkpoint_entry
from jitkit.training.retention import delete_files, set_aside_after
from jitkit.training.run_files import RunFiles, holds
from jitkit.training.run_log import continue_log
from jitkit.training.run_state import LOCK, RUN_STATE, StateFile

ALWAYS: dict[str, Kind] = {
    MANIFEST: "manifest",
    LOG: "metrics",
    RUN_STATE: "state",
    BEST: "best",
    GALLERY: "report",
    PAGE: "report",
}
REPORTS = 4 * 2**20  # bytes of the log, pages, and documents of a short run
_RESERVED = re.compile(r"checkpoint_epoch_.*\.pth|checkpoint_step_.*|set-aside", re.IGNORECASE)
TEACHER = "teacher"  # subfolder of the model that a run distills


class RunFolder(RunFiles):
    """The files of a run in their folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.manifest = path / MANIFEST
        self.metrics = path / LOG
        self.best = path / BEST
        self.state = StateFile(path)

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints, the latest step first, and before them damaged ones of unknown step."""
        return [self.at(name) for name in self.index.named("checkpoint")]

    @contextmanager
    def locked(self, *, wait: float = 0.0) -> Iterator[None]:
        """Create the folder, lock it against other processes, and delete temporary files of killed ones.

        `wait` is how many seconds to wait for another process to finish. If the block fails before it writes anything,
        nothing stays. Raises ResourceError if another process trains in the folder or it cannot be written.
        """
        with folder_in_use(self.path):
            path = self.path / LOCK
            is_new, lock = not exists(path), FileLock(path, timeout=-1 if math.isinf(wait) else wait)
            try:
                lock.acquire()
            except Timeout as error:
                raise ResourceError(
                    "another process that trains in this folder", "a free folder", file=self.path, hint="See --out."
                ) from error
            except OSError as error:
                raise cannot_write(self.path, error) from error
            try:
                sweep(self.path)
                sweep_folders(self.path, STEP)
                yield
            except BaseException:
                with suppress(OSError, JitkitError):  # the folder is gone, or an open file cannot be deleted here
                    if is_new and entries(self.path) == [path]:
                        delete(path)
                raise
            finally:
                lock.release()

    def newest(self) -> Path | None:
        """Return the latest complete checkpoint; None without one."""
        complete = (self.at(name) for name, file in self.index.named("checkpoint").items() if file.is_complete)
        return next((path for path in complete if exists(path)), None)

    def refresh(self, note: Callable[[str], None]) -> None:
        """Bring the index up to date with files that a crash or a user has changed. A run of an earlier version gets one.

        A checkpoint that was not completed is noted.
        """
        before = read_index(self.path)
        index = self.index
        files = {name: entry for name, file in index.files.items() if (entry := self._refreshed(name, file))}
        for name, file in index.named("checkpoint").items():
            if name not in files and not file.is_complete:
                note(f"warning: {self.at(name)}: its save was interrupted; the checkpoint before it remains")
        if files != (before.files if before else {}):
            write_index(self.path, index.updated(files, without=index.files.keys() - files.keys()))

    def _refreshed(self, name: str, file: RunFile) -> RunFile | None:
        """Return the entry of a file as it is now; None if it is gone."""
        path = self.at(name)
        if not exists(path):
            return None
        if file.kind not in {"checkpoint", "best"} or is_unchanged(path, file):
            return file
        return checkpoint_entry(path, file.kind, file.step)

    def require_fresh(self) -> None:
        """Raise UsageError if there is a run in the folder."""
        if self.index.named("checkpoint", "best", "metrics"):
            hint = "--resume auto continues it, --overwrite deletes it, --out chooses another folder."
            raise UsageError("a run in this folder", "a folder without one", file=self.path, hint=hint)

    def require_own(self, contents: Mapping[str, bytes | None]) -> None:
        """Raise UsageError if the run would replace a file that is not its own, unless its content is the same."""
        if read_index(self.path) is None and self.index.files:
            return  # of an earlier version, which has replaced whatever was there
        owned = self.index.files
        for name, content in contents.items():
            path = self.at(name)
            if name not in owned and exists(path) and not is_folder(path) and not holds(path, content):
                found, hint = "a file that is not of a run", "--out chooses another folder."
                raise UsageError(found, "a folder without it", file=path, hint=hint)

    def begin(
        self,
        manifest: str,
        files: Mapping[str, bytes],
        note: Callable[[str], None],
        *,
        start: Checkpoint | None = None,
        clear: bool = False,
        trackers: Iterable[str] = (),
    ) -> None:
        """Prepare the folder for a run: write the resolved manifest and the files it names, and list what will follow.

        A run that continues from `start` sets aside what is later, and its log is cut back. `clear` deletes an existing
        run. `trackers` are names of files. Raises RefusedError, before anything is changed, if a name is unsafe or that
        of another file of the run, UsageError as `require_own`, and InputError if the log is damaged.
        """
        reserved = (name for name in files if _RESERVED.match(name))
        taken = {*ALWAYS, LOCK, INDEX, *trackers, *reserved}
        require_members(files, taken=taken, file=self.path, field="tokenizer")
        self.require_own({**files, **dict.fromkeys([*ALWAYS, *trackers])})
        log = read_log(self.metrics, note) if not clear and is_file(self.metrics) else []
        if clear:
            delete_files(self, note)
        step, loss = (start.step, start.loss) if start else (0, None)
        set_aside_after(self, step, note)
        continue_log(self.metrics, log, step, validated=loss is not None, note=note)
        kinds: dict[str, Kind] = {name: _kind(name) for name in files} | {MANIFEST: "manifest"}
        contents = {**files, MANIFEST: manifest.encode()}
        self.claim({**ALWAYS, **dict.fromkeys(trackers, "tracker")})
        self.write({name: (kinds[name], content) for name, content in contents.items()})

    def listing(self) -> set[str]:
        """Return the names of the files in the folder and its direct subfolders, except hidden ones."""
        inside = entries(self.path)
        found = [*inside, *(path for folder in inside if is_folder(folder) for path in entries(folder))]
        return {path.relative_to(self.path).as_posix() for path in found if path.name[0] != "." and is_file(path)}

    def require_space(self, checkpoint: Checkpoint) -> None:
        """Raise ResourceError unless there is room for two checkpoints like this one, its weights, and the reports.

        Checkpoints that are there already count, but one more has to fit, because a new one is written before an old one goes.
        """
        complete = sum(file.is_complete for file in self.index.named("checkpoint").values())
        best = replace_fields(checkpoint, optimizer_state_dict=None)
        require_space(self.best, max(1, 2 - complete) * checkpoint.num_bytes + best.num_bytes + REPORTS)

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write, verify, and list a checkpoint; return its path. An earlier one of the same epoch is renamed first."""
        name, files = f"checkpoint_epoch_{checkpoint.epoch}.pth", self.index.files
        if name not in files and exists(self.at(name)):
            name = _with_step(name, checkpoint.step)  # the file is the user's
        elif name in files and files[name].step not in {checkpoint.step, None}:
            self.move(name, _with_step(name, files[name].step), files[name])
        path = self._save(name, "checkpoint", checkpoint)
        self.state.saved(checkpoint.step)
        return path

    def begin_save(self, checkpoint: Checkpoint, copies: RemoteCopies | None = None) -> PendingSave:
        """Begin to write a checkpoint folder, see `save_shards`. All processes have to call this."""
        name = STEP
        if parallel.is_main_process():
            self.state.require_own()
            name = self.new_folder(checkpoint.step)
            self.claim({name: "checkpoint"}, checkpoint.step)
        return save_shards(self.at(name), checkpoint, copies)

    def new_folder(self, step: int) -> str:
        """Return a name that neither the run nor the user has given to anything."""
        name, files = f"{STEP}{step:08d}", self.index.files
        names = (f"{name}_{number}" if number > 1 else name for number in count(1))
        return next(name for name in names if name not in files and not exists(self.at(name)))

    def finish_save(self, pending: PendingSave, note: Callable[[str], None]) -> None:
        """List a checkpoint folder that is complete, and delete an earlier one of the same step. For the main process."""
        self.record({pending.folder.name: "checkpoint"}, pending.step)
        self.state.saved(pending.step)
        saved = self.index.named("checkpoint")
        earlier = [name for name, file in saved.items() if file.step == pending.step and is_folder(self.at(name))]
        gone = [name for name in earlier if name != pending.folder.name and self.delete(name, note)]
        self.update(without=gone)

    def save_best(self, checkpoint: Checkpoint) -> Path:
        """Write, verify, and list the best model, without an optimizer; return its path."""
        return self._save(BEST, "best", checkpoint)

    def _save(self, name: str, kind: Kind, checkpoint: Checkpoint) -> Path:
        self.state.require_own()
        self.claim({name: kind}, checkpoint.step)
        save_checkpoint(self.at(name), checkpoint)
        self.record({name: kind}, checkpoint.step)
        return self.at(name)


def _kind(name: str) -> Kind:
    return "teacher" if name.startswith(f"{TEACHER}/") else "input"


def _with_step(name: str, step: int | None) -> str:
    return f"{name.removesuffix('.pth')}_step_{step}.pth"
