"""Checks of a `.pth` file before `torch.load`: it must be a complete, uncompressed, undamaged zip archive.

`torch.load` (2.13) does not detect flipped bits, does not limit decompression, and for damaged files suggests disabling
`weights_only`.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from jitkit.errors import InputError, RefusedError, shown
from jitkit.filesystem import open_regular
from jitkit.storage.git_lfs import FOUND, is_pointer

MAX_ENTRIES = 100_000  # one per tensor; JiT-H/4 with optimizer and averages has about 3,000
MAX_PICKLE = 64 * 2**20  # bytes of the entry that describes the tensors


def check_archive(path: Path) -> None:
    """Read a `.pth` file and verify the checksums of the archive.

    Raises InputError for a file that is missing, empty, truncated, damaged or something else, and RefusedError for one whose
    entries are compressed or larger than the file.
    """
    try:
        with open_regular(path, "a .pth file") as file:
            head = file.read(512)
            size = file.seek(0, os.SEEK_END)
            if not zipfile.is_zipfile(file):
                raise InputError(_kind(head, size), "a .pth file written by torch.save", file=path)
            with zipfile.ZipFile(file) as archive:
                _check_sizes(archive, size, path)
                damaged = archive.testzip()  # verifies the CRC-32 of every entry
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, IndexError) as error:
        # zipfile raises these for damaged names, flags and offsets
        raise InputError("a damaged archive", "an undamaged .pth file", file=path) from error
    if damaged is not None:
        found, name = "bytes that do not match their checksum", damaged.partition("/")[2] or damaged
        raise InputError(found, "an undamaged file", file=path, field=name)


def _kind(head: bytes, size: int) -> str:
    """Describe a file that is not a zip archive."""
    text = head.lstrip().lower()
    if not size:
        return "an empty file"
    if not head.strip(b"\0"):
        return f"{size} bytes that start with zeros (power failure during a write?)"
    if is_pointer(head):
        return f"{FOUND} (`git lfs pull` downloads the file)"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page"
    if head.startswith(b"PK"):
        return f"a truncated archive of {size} bytes"
    if int.from_bytes(head[:8], "little") < size and head[8:9] == b"{":
        return "a safetensors file"
    if head.startswith(b"\x80"):
        return "a bare pickle, which can contain code"
    return f"{size} bytes that are not an archive"


def _check_sizes(archive: zipfile.ZipFile, size: int, path: Path) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise RefusedError(f"{len(entries)} entries", f"at most {MAX_ENTRIES}", file=path)
    if len(set(archive.namelist())) < len(entries):
        raise RefusedError("two entries with the same name", "unique names", file=path)
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise RefusedError("a compressed entry", "uncompressed entries", file=path, field=shown(entry.filename))
        if entry.filename.endswith("/data.pkl") and entry.file_size > MAX_PICKLE:
            raise RefusedError(f"{entry.file_size} bytes", f"at most {MAX_PICKLE}", file=path, field="data.pkl")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > size:
        raise RefusedError(f"{unpacked} bytes of entries", f"at most {size}, the size of the file", file=path)
