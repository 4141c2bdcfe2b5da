"""Finding the files of a corpus: a file, a folder, or a glob."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jitkit.data.archives import is_archive
from jitkit.errors import InputError, RefusedError, shown
from jitkit.files import Files
from jitkit.filesystem import entries, exists, folders_below, glob, is_file, is_folder, is_special, real_path


@dataclass(frozen=True)
class FileKind:
    """Files of one kind, by their names."""

    suffixes: tuple[str, ...]  # lower case
    compressed: bool = False  # may also end in .gz or .zst
    archived: bool = False  # may also be in an archive, if it is named: archives in a folder are skipped

    def matches(self, name: str) -> bool:
        """Return whether a name is of this kind, in lower or upper case."""
        return plain_name(name, self.compressed).endswith(self.suffixes)

    def accepts(self, name: str) -> bool:
        """Return whether a file that is named is of this kind, or an archive that may contain some."""
        return self.matches(name) or (self.archived and is_archive(name))

    @property
    def listed(self) -> str:
        """The suffixes for a message."""
        return " or ".join(filter(None, (", ".join(self.suffixes[:-1]), self.suffixes[-1])))

    @property
    def expected(self) -> str:
        """What was expected, for a message."""
        packed = " (or one of these with .gz or .zst)" if self.compressed else ""
        return f"a file ending in {self.listed}{packed}" + (", or a .zip or .tar archive" if self.archived else "")


def plain_name(name: str, compressed: bool = True) -> str:
    """Return the name of a file in lower case, without .gz or .zst if it may be compressed."""
    return name.lower().removesuffix(".gz").removesuffix(".zst") if compressed else name.lower()


def find_files(path: Path, kind: FileKind) -> list[Path]:
    """Return a list with `path`, or all files of a kind in it if it is a folder, sorted by name.

    In folders, hidden and other files are skipped. Links to folders are followed once, so loops are harmless. Raises
    InputError when there is no such file.
    """
    if not exists(path):
        raise InputError("no such file or folder", kind.expected + ", or a folder of them", file=path)
    if is_folder(path):
        found = sorted(_below(path, kind))
        if not found:
            raise InputError(f"no {kind.listed} file", "at least one", file=path)
        return found
    if not is_file(path):
        raise InputError("a special file", kind.expected, file=path)
    if not kind.accepts(path.name):
        raise InputError(f"suffix {shown(path.suffix)}", kind.expected, file=path)
    return [path]


def find_named_files(name: str, files: Files, kind: FileKind, *, field: str = "data.path") -> list[Path]:
    """Return the files of a kind that a manifest or the command line names: a file, folder or glob.

    Raises InputError if there is none, RefusedError for links out of the manifest's folder.
    """
    path = files.path(name, field=field)
    if any(mark in name for mark in "*?[") and not exists(path):
        root = Path() if name in files.allowed else files.root
        found = [file for match in glob(name, root) if not is_folder(match) for file in find_files(match, kind)]
        if not found:
            raise InputError(f"no file matching {shown(name)}", "at least one", file=path, field=field)
    else:
        found = find_files(path, kind)
    if name not in files.allowed:
        for file in found:
            check_inside(file, files.root)
    return found


def check_inside(path: Path, root: Path) -> None:
    """Raise RefusedError if `path` resolves, through links, to a file outside `root`."""
    if not real_path(path).is_relative_to(real_path(root)):
        found, hint = f"a link to {real_path(path)}", "Use --data PATH for data outside this folder."
        raise RefusedError(found, f"files inside {root}", file=path, field="data.path", hint=hint)


def _below(folder: Path, kind: FileKind) -> Iterator[Path]:
    for place in folders_below(folder):
        for entry in entries(place):
            if kind.matches(entry.name) and not entry.name.startswith(".") and not is_folder(entry):
                if is_special(entry):
                    raise InputError("a special file", kind.expected, file=entry)
                yield entry
