"""The zip archive of a `.pth` file: complete, uncompressed, undamaged, and no larger in memory than on disk."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from jitkit.errors import InputError, RefusedError, counted, shown
from jitkit.filesystem import open_regular
from jitkit.storage.file_content import FileContent, map_file
from jitkit.storage.git_lfs import FOUND, is_pointer

MAX_ENTRIES = 100_000  # one per tensor; JiT-H/4 with optimizer and averages has about 3,000
MAX_PICKLE = 16 * 2**20  # bytes of the entry that describes the tensors
HEAD = 512  # bytes from which a file that is no archive is described
NOT_IN_TEXT = set(range(32)) - set(b"\t\n\f\r\x1b")  # bytes
LOCAL_HEADER = 30  # bytes in front of each entry, before its name and padding


@dataclass(frozen=True)
class TorchArchive:
    """An archive whose checksums are right, mapped into memory."""

    file: FileContent
    entries: dict[str, memoryview]  # by name, without the folder that all names begin with


def open_archive(path: Path) -> TorchArchive:
    """Map a `.pth` file into memory and verify the checksums of all entries.

    Raises InputError for a file that is missing, empty, truncated, damaged or something else, and RefusedError for one whose
    entries are compressed or larger than the file.
    """
    with map_file(path, "a .pth file") as (mapped, file):
        size = len(mapped.data)
        try:
            if not zipfile.is_zipfile(file):
                raise InputError(_kind(bytes(mapped.data[:HEAD]), size), "a .pth file written by torch.save", file=path)
            with zipfile.ZipFile(file) as archive:
                _check_sizes(archive, size, path)
                entries = {entry.filename: _content(mapped, entry) for entry in archive.infolist()}
        except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, IndexError, struct.error) as error:
            # zipfile raises these for damaged names, flags and offsets
            raise InputError("a damaged archive", "an undamaged .pth file", file=path) from error
    return TorchArchive(mapped, {name.partition("/")[2]: content for name, content in entries.items()})


def kind_without_archive(path: Path) -> str | None:
    """Return what a file is ("a text file") that is not an archive; None for an archive. Raises InputError for no file."""
    with open_regular(path, "a .pth file") as file:
        if zipfile.is_zipfile(file):
            return None
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        return _kind(file.read(HEAD), size)


def _content(mapped: FileContent, entry: zipfile.ZipInfo) -> memoryview:
    """Return the bytes of an entry. Raises InputError if they do not match their checksum."""
    header = struct.unpack_from("<4s22xHH", mapped.data, entry.header_offset)
    start = entry.header_offset + LOCAL_HEADER + header[1] + header[2]
    content = mapped.data[start : start + entry.file_size]
    if header[0] != b"PK\3\4" or len(content) < entry.file_size or entry.flag_bits & 1:
        raise zipfile.BadZipFile
    if zlib.crc32(content) != entry.CRC:
        name = entry.filename.partition("/")[2] or entry.filename
        found = "bytes that do not match their checksum"
        raise InputError(found, "an undamaged file", file=mapped.path, field=shown(name)[1:-1])
    return content


def _kind(head: bytes, size: int) -> str:
    """Describe a file that is not a zip archive."""
    text = head.lstrip().lower()
    if not size:
        return "an empty file"
    if not head.strip(b"\0"):
        return f"{counted(size, 'byte')} starting with zeros (power failure during a write?)"
    if is_pointer(head):
        return f"{FOUND} (`git lfs pull` downloads the file)"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page"
    if head.startswith(b"PK"):
        return f"a truncated archive of {counted(size, 'byte')}"
    if int.from_bytes(head[:8], "little") < size and head[8:9] == b"{":
        return "a safetensors file"
    if head.startswith(b"\x80"):
        return "a bare pickle, which can contain code"
    if not set(head) & NOT_IN_TEXT:
        return "a text file"
    return f"{counted(size, 'byte')}, not an archive"


def _check_sizes(archive: zipfile.ZipFile, size: int, path: Path) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise RefusedError(counted(len(entries), "entry"), f"at most {MAX_ENTRIES}", file=path)
    if len({name.partition("/")[2] for name in archive.namelist()}) < len(entries):
        raise RefusedError("two entries with the same name", "unique names", file=path)
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise RefusedError("a compressed entry", "uncompressed entries", file=path, field=shown(entry.filename))
        if entry.filename.endswith("/data.pkl") and entry.file_size > MAX_PICKLE:
            raise RefusedError(counted(entry.file_size, "byte"), f"at most {MAX_PICKLE}", file=path, field="data.pkl")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > size:
        raise RefusedError(
            f"{counted(unpacked, 'byte')} of entries", f"at most {size}, the size of the file", file=path
        )
