"""The folder of a run: its files and their index, its lock, and the checkpoints it keeps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace as replace_fields
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from jitkit.checkpoints.format import Checkpoint, save_checkpoint
from jitkit.checkpoints.open import BEST
from jitkit.checkpoints.run_index import (
    INDEX,
    Kind,
    RunFile,
    RunIndex,
    is_unchanged,
    read_index,
    recorded,
    write_index,
)
from jitkit.checkpoints.weights import MANIFEST
from jitkit.documents.log import read_log
from jitkit.errors import ResourceError, UsageError
from jitkit.files import member_path, require_members
from jitkit.filesystem import entries, exists, is_file, is_folder, read_bytes, size_of
from jitkit.report.run_record import GALLERY, LOG, PAGE
from jitkit.storage.atomic import (
    cannot_write,
    delete,
    make_folder,
    replace,
    require_space,
    sweep,
    sync_folder,
    write_file,
    writing,
)
from jitkit.training.earlier_run import checkpoint_entry, index_of_earlier_run
from jitkit.training.run_log import continue_log

ALWAYS: dict[str, Kind] = {MANIFEST: "manifest", LOG: "metrics", BEST: "best", GALLERY: "report", PAGE: "report"}
REPORTS = 4 * 2**20  # bytes of the log, pages, and documents of a short run
LOCK = ".lock"
_RESERVED = re.compile(r"checkpoint_epoch_.*\.pth|set-aside", re.IGNORECASE)
TEACHER = "teacher"  # subfolder of the model that a run distills
SET_ASIDE = "set-aside"  # prefix of subfolders for checkpoints later than the one that a run went back to


class RunFolder:
    """The files of a run, all listed in `run_index.json`; see `jitkit.checkpoints.run_index`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = path / MANIFEST
        self.metrics = path / LOG
        self.best = path / BEST

    @property
    def index(self) -> RunIndex:
        """The index in the folder, or the one that a run of an earlier version would have."""
        index = read_index(self.path)
        return index_of_earlier_run(self.path) if index is None else index

    def _at(self, name: str) -> Path:
        return member_path(self.path, name, field=INDEX)

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints, the latest step first, and before them damaged ones of unknown step."""
        return [self._at(name) for name in self.index.named("checkpoint")]

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

    def newest(self) -> Path | None:
        """Return the latest complete checkpoint; None without one."""
        complete = (self._at(name) for name, file in self.index.named("checkpoint").items() if file.is_complete)
        return next((path for path in complete if is_file(path)), None)

    def refresh(self) -> None:
        """Bring the index up to date with files that a crash or a user has changed. A run of an earlier version gets one."""
        before = read_index(self.path)
        index = self.index
        files = {name: entry for name, file in index.files.items() if (entry := self._refreshed(name, file))}
        if files != (before.files if before else {}):
            write_index(self.path, index.updated(files, without=index.files.keys() - files.keys()))

    def _refreshed(self, name: str, file: RunFile) -> RunFile | None:
        """Return the entry of a file as it is now; None if it is gone."""
        path = self._at(name)
        if not is_file(path):
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
            path = self._at(name)
            if name not in owned and exists(path) and not is_folder(path) and not _holds(path, content):
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
            self.clear(note)
        step, loss = (start.step, start.loss) if start else (0, None)
        self.set_aside_after(step, note)
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

    def claim(self, names: Mapping[str, Kind], step: int | None = None) -> None:
        """List files that will be written, before they are."""
        listed = self.index.files
        self._update({name: RunFile(kind=kind, step=step) for name, kind in names.items() if name not in listed})

    def write(self, contents: Mapping[str, tuple[Kind, bytes]]) -> None:
        """Write files and list them. A file of the user that has the same content stays the user's."""
        listed = self.index.files
        ours = {
            name: (kind, content)
            for name, (kind, content) in contents.items()
            if name in listed or not _holds(self._at(name), content)
        }
        self.claim({name: kind for name, (kind, _) in ours.items()})
        for name, (_, content) in ours.items():
            make_folder((self._at(name)).parent)
            write_file(self._at(name), content)
        self.record({name: kind for name, (kind, _) in ours.items()})

    def record(self, names: Mapping[str, Kind], step: int | None = None) -> None:
        """List files that are complete."""
        self._update({name: recorded(self._at(name), kind, step) for name, kind in names.items()})

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
        if name not in files and exists(self._at(name)):
            name = _with_step(name, checkpoint.step)  # the file is the user's
        elif name in files and files[name].step not in {checkpoint.step, None}:
            self._move(name, _with_step(name, files[name].step), files[name])
        return self._save(name, "checkpoint", checkpoint)

    def save_best(self, checkpoint: Checkpoint) -> Path:
        """Write, verify, and list the best model, without an optimizer; return its path."""
        return self._save(BEST, "best", checkpoint)

    def _save(self, name: str, kind: Kind, checkpoint: Checkpoint) -> Path:
        self.claim({name: kind}, checkpoint.step)
        save_checkpoint(self._at(name), checkpoint)
        self.record({name: kind}, checkpoint.step)
        return self._at(name)

    def prune(self, keep: int, note: Callable[[str], None]) -> None:
        """Delete all but the latest `keep` checkpoints that are complete. One that cannot be deleted is noted."""
        kept, gone = 0, []
        for name, file in self.index.named("checkpoint").items():
            if kept < keep:
                kept += is_unchanged(self._at(name), file)
            elif self._deleted(name, note):
                gone.append(name)
        if gone:
            with suppress(OSError):  # after a power failure, they would be there again
                sync_folder(self.path)
            self._update(without=gone)

    def _deleted(self, name: str, note: Callable[[str], None]) -> bool:
        try:
            delete(self._at(name))
        except OSError as error:
            note(f"warning: {self._at(name)}: could not delete it ({error.strerror})")
            return False
        return True

    def clear(self, note: Callable[[str], None]) -> None:
        """Delete the files of the run, and the subfolders that are then empty."""
        gone = [name for name in self.index.files if self._deleted(name, note)]
        for folder in sorted({(self._at(name)).parent for name in gone} - {self.path}, reverse=True):
            with suppress(OSError):  # the user's own files are in it
                folder.rmdir()
        self._update(without=gone)

    def set_aside_after(self, step: int, note: Callable[[str], None]) -> None:
        """Move checkpoints and a best model of later steps, and damaged ones, to a subfolder, with a copy of the log."""
        saved = self.index.named("checkpoint", "best")
        later = {name: file for name, file in saved.items() if file.step is None or file.step > step}
        later = {name: file for name, file in later.items() if is_file(self._at(name))}
        if not later:
            return
        folder = next(path for number in count(1) if not exists(path := self._at(f"{SET_ASIDE}-{number}")))
        make_folder(folder)
        if is_file(self.metrics):
            self.write({f"{folder.name}/{LOG}": ("set aside", read_bytes(self.metrics))})
        for name, file in later.items():
            self._move(name, f"{folder.name}/{name}", file.model_copy(update={"kind": "set aside"}))
        self._update(without=later)
        note(f"going back to step {step}: {', '.join(later)} set aside in {folder}")

    def _move(self, name: str, target: str, file: RunFile) -> None:
        """Rename a file of the run. Its old entry stays, and is dropped or replaced later."""
        self._update({target: file})
        with writing(self._at(target)):
            replace(self._at(name), self._at(target))

    def _update(self, files: Mapping[str, RunFile] | None = None, *, without: Iterable[str] = ()) -> None:
        before = read_index(self.path)
        index = (self.index if before is None else before).updated(files or {}, without=without)
        if index != before:
            write_index(self.path, index)


def _kind(name: str) -> Kind:
    return "teacher" if name.startswith(f"{TEACHER}/") else "input"


def _with_step(name: str, step: int | None) -> str:
    return f"{name.removesuffix('.pth')}_step_{step}.pth"


def _holds(path: Path, content: bytes | None) -> bool:
    """Return whether a file has this content."""
    return content is not None and is_file(path) and size_of(path) == len(content) and read_bytes(path) == content
