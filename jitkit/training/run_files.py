"""The files that a run owns, all listed in `run_index.json`; see `jitkit.checkpoints.run_index`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from jitkit.checkpoints.run_index import INDEX, Kind, RunFile, RunIndex, read_index, recorded, write_index
from jitkit.files import member_path
from jitkit.filesystem import is_file, is_folder, read_bytes, size_of
from jitkit.storage.atomic import delete, delete_folder, make_folder, replace, write_file, writing
from jitkit.training.earlier_run import index_of_earlier_run


class RunFiles:
    """The files of a run. Checkpoint folders are listed as one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def index(self) -> RunIndex:
        """The index in the folder, or the one that a run of an earlier version would have."""
        index = read_index(self.path)
        return index_of_earlier_run(self.path) if index is None else index

    def at(self, name: str) -> Path:
        """Return the path of a file. Raises RefusedError for a name outside the folder."""
        return member_path(self.path, name, field=INDEX)

    def claim(self, names: Mapping[str, Kind], step: int | None = None) -> None:
        """List files that will be written, before they are."""
        listed = self.index.files
        self.update({name: RunFile(kind=kind, step=step) for name, kind in names.items() if name not in listed})

    def write(self, contents: Mapping[str, tuple[Kind, bytes]]) -> None:
        """Write files and list them. A file of the user that has the same content stays the user's."""
        listed = self.index.files
        ours = {
            name: (kind, content)
            for name, (kind, content) in contents.items()
            if name in listed or not holds(self.at(name), content)
        }
        self.claim({name: kind for name, (kind, _) in ours.items()})
        for name, (_, content) in ours.items():
            make_folder((self.at(name)).parent)
            write_file(self.at(name), content)
        self.record({name: kind for name, (kind, _) in ours.items()})

    def record(self, names: Mapping[str, Kind], step: int | None = None) -> None:
        """List files that are complete."""
        self.update({name: recorded(self.at(name), kind, step) for name, kind in names.items()})

    def delete(self, name: str, note: Callable[[str], None]) -> bool:
        """Delete a file or a checkpoint folder, which stays listed. Return whether that worked, and note it if not."""
        path = self.at(name)
        try:
            if is_folder(path):
                delete_folder(path)
            else:
                delete(path)
        except OSError as error:
            note(f"warning: {path}: could not delete it ({error.strerror})")
            return False
        return True

    def move(self, name: str, target: str, file: RunFile) -> None:
        """Rename a file of the run. Its old entry stays, and is dropped or replaced later."""
        self.update({target: file})
        with writing(self.at(target)):
            replace(self.at(name), self.at(target))

    def update(self, files: Mapping[str, RunFile] | None = None, *, without: Iterable[str] = ()) -> None:
        """Change entries of the index, and remove some."""
        before = read_index(self.path)
        index = (self.index if before is None else before).updated(files or {}, without=without)
        if index != before:
            write_index(self.path, index)


def holds(path: Path, content: bytes | None) -> bool:
    """Return whether a file has this content."""
    return content is not None and is_file(path) and size_of(path) == len(content) and read_bytes(path) == content
