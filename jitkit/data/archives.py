"""The members of archives, one after the other: .zip, and .tar, which may be compressed.

Nothing is unpacked to the disk. Members are data of strangers: their names are checked, links and hidden files are skipped,
and all members together may not become much larger than the archive.
"""

from __future__ import annotations

import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, Self

from jitkit.data.compression import Budget, opened
from jitkit.data.pieces import file_of, pieces_of
from jitkit.errors import InputError, RefusedError, shown
from jitkit.files import require_members
from jitkit.filesystem import size_of

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst")
MAX_HEADER = 1 << 20  # bytes of a header of a tar member, which is in memory as a whole
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # others have no limit on what one read may return
_HEADERS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
_DAMAGED_CONTENT = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error)
_DAMAGED_HEADER = (struct.error, ValueError, IndexError, OverflowError, NotImplementedError)  # of hostile headers

Chosen = Callable[[str], bool]


class Member(NamedTuple):
    """A member of an archive, open until the next one."""

    name: str
    file: BinaryIO


def is_archive(name: str) -> bool:
    """Return whether a file has the name of an archive that `members` can read."""
    return name.lower().endswith(ARCHIVES)


def members(path: Path, is_chosen: Chosen) -> Iterator[Member]:
    """Yield the members with chosen names: of a .zip sorted by name, of a .tar in its order. Use it inside `naming_damage`.

    Raises InputError for an encrypted member, RefusedError for a name outside of the archive, and for more bytes than
    `Budget` allows.
    """
    read = _zip_members if path.name.lower().endswith(".zip") else _tar_members
    budget = Budget(path, size_of(path))
    with opened(path) as (file, _), _header_damage_as_bad_zip_file():
        for name, content in read(file, path, is_chosen):
            yield Member(name, file_of(budget.bounded(content)))


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Raise InputError if the block finds the archive at `path` damaged or truncated."""
    try:
        yield
    except _DAMAGED_CONTENT as error:
        found = f"damaged or truncated data ({str(error).rstrip('.') or type(error).__name__})"
        raise InputError(found, "a complete archive", file=path) from error


def zip_size(path: Path, is_chosen: Chosen) -> int:
    """Return the bytes of the chosen members of a .zip, unpacked, as its directory states them. Use it inside `naming_damage`."""
    with opened(path) as (file, _), _header_damage_as_bad_zip_file(), zipfile.ZipFile(file) as archive:
        return sum(info.file_size for info in archive.infolist() if _is_text(info.filename, is_chosen))


@contextmanager
def _header_damage_as_bad_zip_file() -> Iterator[None]:
    """Raise BadZipFile, which `naming_damage` expects, for what zipfile and tarfile raise for hostile headers."""
    try:
        yield
    except _DAMAGED_HEADER as error:
        raise zipfile.BadZipFile(str(error) or type(error).__name__) from error


def _zip_members(file: BinaryIO, path: Path, is_chosen: Chosen) -> Iterator[tuple[str, BinaryIO]]:
    with zipfile.ZipFile(file) as archive:
        found = [info for info in archive.infolist() if not info.is_dir() and _is_text(info.filename, is_chosen)]
        for info in sorted(found, key=lambda info: PurePosixPath(info.filename).parts):
            if stat.S_ISLNK(info.external_attr >> 16):
                continue
            require_members([info.filename], file=path, field="members")
            if info.flag_bits & 1 or info.compress_type not in METHODS:
                kind = "an encrypted member" if info.flag_bits & 1 else f"compression method {info.compress_type}"
                raise InputError(kind, "deflate or no compression", file=path, field=info.filename)
            with archive.open(info) as member:
                yield info.filename, member  # type: ignore[misc]  # a file that is only read


def _tar_members(file: BinaryIO, path: Path, is_chosen: Chosen) -> Iterator[tuple[str, BinaryIO]]:
    with tarfile.open(fileobj=file, mode="r|", tarinfo=_TarInfo) as archive:
        while (info := archive.next()) is not None:
            if info.isreg() and _is_text(info.name, is_chosen):
                require_members([info.name], file=path, field="members")
                if info.issparse():
                    raise InputError("a sparse member", "ordinary files", file=path, field=info.name)
                with archive.extractfile(info) as member:  # type: ignore[union-attr]  # None only for other members
                    yield info.name, member  # type: ignore[misc]
            archive.members.clear()  # type: ignore[attr-defined]  # it would grow with the archive
        if any(data.strip(b"\0") for data in pieces_of(archive.fileobj)):  # type: ignore[arg-type]  # open for reading
            raise tarfile.ReadError("data after the end-of-archive mark")


class _TarInfo(tarfile.TarInfo):
    """A header of a tar archive. Those that tarfile would read into memory as a whole have a limit.

    A missing or damaged header is an error. For tarfile it is the end, so that a truncated archive seems complete.
    """

    @classmethod
    def fromtarfile(cls, tarfile_: Any) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the end-of-archive mark
            raise
        except tarfile.EmptyHeaderError as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError("no end-of-archive mark") from error
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type in _HEADERS and info.size > MAX_HEADER:
            raise RefusedError(f"a header of {info.size} bytes", f"at most {MAX_HEADER}", field=shown(info.name))
        return info


def _is_text(name: str, is_chosen: Chosen) -> bool:
    """Return whether a member is chosen and not hidden."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") and part != ".." for part in parts)
    return bool(parts) and not hidden and is_chosen(name)
