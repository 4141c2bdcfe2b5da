"""Files whose names come from data: the files that a manifest, a checkpoint or an exported folder names.

`member_path` alone decides whether such a name is safe, and joins it to its folder.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from jitkit.errors import InputError, JitkitError, RefusedError, shown
from jitkit.filesystem import entries, is_folder, read_bytes, real_path

MAX_NAME = 1024  # bytes of a whole name
MAX_HINTED = 5  # subfolders that a hint names
MAX_PART = 255  # bytes of each part, a limit of most file systems
DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in "123456789"
}


def member_path(folder: Path, name: str, *, field: str | None = None, hint: str = "") -> Path:
    """Return the path of the member `name` of `folder`. `field` and `hint` are for the message.

    Raises RefusedError unless `name` is a relative path with forward slashes that any system can store, and that stays
    inside the folder, also through symbolic links.
    """
    if not _is_safe(name) or not _stays_inside(folder, name):
        raise RefusedError(f"path {shown(name)}", f"a relative path inside {folder}", field=field, hint=hint)
    return folder / name


def require_members(names: Iterable[str], *, file: object, field: str, taken: Iterable[str] = ()) -> None:
    """Raise RefusedError unless `names`, read from `file`, can all be files of one folder that has files named `taken`.

    Every name must be safe as in `member_path`, and no two may mean the same file. Names that differ in case do, because
    some systems ignore case.
    """
    files, folders = {_key(name) for name in taken}, set[tuple[str, ...]]()
    for name in names:
        if not _is_safe(name):
            raise RefusedError(f"path {shown(name)}", "a relative path inside a folder", file=file, field=field)
        key = _key(name)
        parents = {key[:length] for length in range(1, len(key))}
        if key in files or key in folders or parents & files:
            raise RefusedError(f"the name {shown(name)}", "one that no other file has", file=file, field=field)
        files.add(key)
        folders |= parents


def _is_safe(name: str) -> bool:
    """Return whether `name` is a relative path of a file on any system, without looking at the disk."""
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        return False
    parts = PurePosixPath(name).parts
    outside = name.startswith("/") or "\\" in name or ".." in parts or bool(PureWindowsPath(name).drive)
    too_long = len(name.encode()) > MAX_NAME or any(len(part.encode()) > MAX_PART for part in parts)
    reserved = any(part.partition(".")[0].rstrip(" ").lower() in DEVICES for part in parts)
    return bool(parts) and not (outside or too_long or reserved)


def _stays_inside(folder: Path, name: str) -> bool:
    try:
        return real_path(folder / name).is_relative_to(real_path(folder))
    except InputError:  # a loop of links
        return False


def _key(name: str) -> tuple[str, ...]:
    """Return the parts of a name in a form that is equal for names that some file system treats as the same."""
    return tuple(unicodedata.normalize("NFC", part).casefold().rstrip(" .") for part in PurePosixPath(name).parts)


def hint_inside(folder: Path, is_meant: Callable[[Path], bool]) -> str:
    """Return "It holds run/a, run/b." for the subfolders that `is_meant` accepts; "" without one or for other paths."""
    with suppress(JitkitError):  # a folder that cannot be listed
        found = (
            [str(path) for path in entries(folder) if is_folder(path) and is_meant(path)] if is_folder(folder) else []
        )
        more = ", ..." if len(found) > MAX_HINTED else ""
        return f"It holds {', '.join(found[:MAX_HINTED])}{more}." if found else ""
    return ""


@dataclass(frozen=True)
class Files:
    """Resolves the file names in a manifest.

    `root` is the manifest's folder. `embedded` holds the files of a checkpoint, which take precedence over the disk.
    `allowed` are paths from the command line, which may be anywhere, relative to the working folder. `given` are files from
    the command line by the name that the manifest has for them.
    """

    root: Path
    embedded: Mapping[str, bytes] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()
    given: Mapping[str, Path] = field(default_factory=dict)

    def path(self, name: str, *, field: str) -> Path:
        """Return the path of `name`. Raises RefusedError if it may not be named; see `member_path`."""
        if name in self.given:
            return self.given[name]
        if name in self.allowed:
            return Path(name)
        if name == ".":
            return self.root
        hint = "To use data outside of it, pass --data PATH." if field == "data.path" else ""
        return member_path(self.root, name, field=field, hint=hint)

    def read(self, name: str, *, field: str) -> bytes:
        """Return the content of a file. Raises InputError if it cannot be read."""
        if name in self.embedded:
            return self.embedded[name]
        path = self.path(name, field=field)
        return read_bytes(path, field=field)


WORKING_FOLDER = Files(Path())
