"""Checking paths, listing folders, and reading files: the only module that uses the operating system for this.

Any failure (no permission, a name that is too long, a loop of links) becomes one line about the path. Where a file
is needed, pipes, devices, and sockets are refused before they are opened, so that none of them can block the process.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from jitkit.errors import InputError, JitkitError, did_you_mean, io_reason, reading

MISSING = {errno.ENOENT, errno.ENOTDIR}
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
STREAM_FOLDERS = {"/dev/fd", "/proc/self/fd"}

Error = type[JitkitError]


def exists(path: str | Path, *, error: Error = InputError) -> bool:
    """Return whether `path` exists. Raises `error` if it cannot be checked."""
    return _mode(path, error) is not None


def is_file(path: str | Path, *, error: Error = InputError) -> bool:
    """Return whether `path` is a regular file. Raises `error` if it cannot be checked."""
    return stat.S_ISREG(_mode(path, error) or 0)


def is_folder(path: str | Path, *, error: Error = InputError) -> bool:
    """Return whether `path` is a folder. Raises `error` if it cannot be checked."""
    return stat.S_ISDIR(_mode(path, error) or 0)


def is_special(path: str | Path, *, error: Error = InputError) -> bool:
    """Return whether `path` is a pipe, a device, or a socket. Raises `error` if it cannot be checked."""
    mode = _mode(path, error)
    return mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def kind_of(mode: int) -> str:
    """Return what a file mode is ("a named pipe"), for a message."""
    return KINDS.get(stat.S_IFMT(mode), "a file")


def stream_number(path: str | Path) -> int | None:
    """Return the descriptor that ``/dev/stdin``, ``/dev/fd/63`` (``<(...)`` in a shell), ... stand for; None for a file."""
    place = os.fspath(path)
    folder, _, number = place.rpartition("/")
    return int(number) if folder in STREAM_FOLDERS and number.isdecimal() else STREAMS.get(place)


def expanded(path: str) -> Path:
    """Return a path in which a leading ``~`` is the user's folder, if there is one."""
    return Path(os.path.expanduser(path))


def real_path(path: str | Path, *, error: Error = InputError) -> Path:
    """Return the absolute path without links. Parts that do not exist stay. Raises `error` for a loop of links."""
    _mode(path, error)
    with reading(path, "a path", error=error):
        return Path(os.path.realpath(path))


def size_of(path: Path, expected: str = "a readable file", *, error: Error = InputError) -> int:
    """Return the size of a file in bytes. Raises `error` if there is none."""
    with reading(path, expected, error=error):
        return os.stat(path).st_size


def file_stamp(path: Path, expected: str = "a readable file") -> tuple[str, int, int]:
    """Return a file's absolute path without links, its size in bytes, and when it was modified, in ns since 1970.

    Raises InputError if there is none.
    """
    with reading(path, expected):
        info = os.stat(path)
        return os.path.realpath(path), info.st_size, info.st_mtime_ns


@contextmanager
def open_regular(
    path: str | Path,
    expected: str = "a readable file",
    *,
    field: str | None = None,
    hint: str = "",
    error: Error = InputError,
) -> Iterator[io.BufferedReader]:
    """Yield a regular file, open for reading. Errors of reading it inside the block are about `path` too.

    Raises `error` if it is missing, not readable, or a folder, pipe, device, or socket, which are never opened.
    """
    with reading(path, expected, field=field, hint=hint, error=error):
        _require_regular(os.stat(path).st_mode, path, expected, field, hint, error)
        with open(path, "rb", opener=_open_without_waiting) as file:
            _require_regular(os.fstat(file.fileno()).st_mode, path, expected, field, hint, error)  # it may have changed
            yield file


def read_bytes(
    path: str | Path,
    *,
    limit: int | None = None,
    expected: str = "a readable file",
    field: str | None = None,
    hint: str = "",
    error: Error = InputError,
    too_large: Error = InputError,
) -> bytes:
    """Return the content of a regular file. Raises as `open_regular`, and `too_large` above `limit` bytes."""
    with open_regular(path, expected, field=field, hint=hint, error=error) as file:
        return _read(file, path, limit, expected, field, too_large)


def read_stream(path: str | Path, *, limit: int, expected: str = "a readable file") -> bytes:
    """Return the content of a regular file, or of a pipe that this process already has (``/dev/stdin``, ``<(...)``).

    Raises InputError for anything else: a named pipe may never have a writer, and a device may never end.
    """
    number = stream_number(path)
    if number is None:
        return read_bytes(path, limit=limit, expected=expected)
    with reading(path, expected), open(os.dup(number), "rb") as file:
        if stat.S_ISDIR(os.fstat(file.fileno()).st_mode):
            raise InputError("a folder", expected, file=path)
        return _read(file, path, limit, expected, None, InputError)


def system_text(path: str | Path) -> str:
    """Return the text of a file in which the system describes itself (``/proc/cpuinfo``); empty if there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def entries(folder: Path, expected: str = "a readable folder", *, error: Error = InputError) -> list[Path]:
    """Return the entries of a folder, sorted by name. Raises `error` if it cannot be listed."""
    with reading(folder, expected, error=error):
        return sorted(folder / name for name in os.listdir(folder))


def similar_path(path: str | Path) -> str:
    """Return "Did you mean X?" for a path that does not exist: the closest name in its folder; "" if none is close."""
    try:
        if exists(path):
            return ""
        folder = Path(path).parent
        form = str(folder).replace("{", "{{").replace("}", "}}")
        return did_you_mean(Path(path).name, [entry.name for entry in entries(folder)], str(Path(form) / "{}"))
    except JitkitError:  # it is only a hint
        return ""


def matching(folder: Path, pattern: str, *, error: Error = InputError) -> list[Path]:
    """Return the entries of a folder that match `pattern` ("*.toml"), sorted; empty if there is no such folder."""
    if not is_folder(folder, error=error):
        return []
    return [path for path in entries(folder, error=error) if fnmatchcase(path.name, pattern)]


def folders_below(folder: Path) -> Iterator[Path]:
    """Yield a folder and all folders in it, also through links, each one once; hidden ones are skipped."""
    waiting, seen = [folder], set[tuple[int, int]]()
    while waiting:
        place = waiting.pop()
        with reading(place, "a readable folder"):
            info = os.stat(place)
        if (info.st_dev, info.st_ino) not in seen:
            seen.add((info.st_dev, info.st_ino))
            yield place
            inside = (path for path in entries(place) if not path.name.startswith("."))
            waiting += reversed([path for path in inside if os.path.isdir(path)])


def glob(pattern: str, root: Path) -> list[Path]:
    """Return the paths that match a pattern relative to `root`, or an absolute one, sorted.

    ``**`` stands for any folders. Each folder is visited once, so loops of links are harmless. Hidden names match only a
    part that begins with a dot.
    """
    parts = Path(pattern).parts
    found = {root}
    for part, before in zip(parts, (None, *parts), strict=False):
        if part == "**":
            found = (
                found
                if before == "**"
                else {below for path in found if is_folder(path) for below in folders_below(path)}
            )
        elif any(mark in part for mark in "*?["):
            found = {match for path in found for match in matching(path, part) if _is_shown(match.name, part)}
        else:
            found = {path / part for path in found if os.path.exists(path / part)}
    return sorted(found)


def _mode(path: str | Path, error: Error) -> int | None:
    """Return the mode of the file at `path`, or None if there is none."""
    try:
        return os.stat(path).st_mode
    except OSError as reason:
        if reason.errno in MISSING:
            return None
        raise error(io_reason(reason), "a path that can be looked up", file=path) from reason
    except ValueError as reason:  # a NUL, or characters that no file name has
        raise error(io_reason(reason), "a path", file=path) from reason


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _require_regular(mode: int, path: str | Path, expected: str, field: str | None, hint: str, error: Error) -> None:
    if not stat.S_ISREG(mode):
        raise error(kind_of(mode), expected, file=path, field=field, hint=hint)


def _read(
    file: BinaryIO, path: str | Path, limit: int | None, expected: str, field: str | None, too_large: Error
) -> bytes:
    data = file.read(-1 if limit is None else limit + 1)
    if limit is not None and len(data) > limit:
        raise too_large(f"more than {limit} bytes", expected, file=path, field=field)
    return data


def _is_shown(name: str, pattern: str) -> bool:
    return pattern.startswith(".") or not name.startswith(".")
