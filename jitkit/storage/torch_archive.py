"""What a `.pth` file has to be before anything reads it: a whole, uncompressed, undamaged zip archive.

`torch.load` reads flipped bits without a word, unpacks a thousandfold, and its advice for damaged files is to turn
safety off (measured with torch 2.13). So a file is classified here first, in our words.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from jitkit.errors import InputError, RefusedError, shown

MAX_ENTRIES = 100_000  # a checkpoint has one an array; JiT-H/4 with optimizer and averages has about 3,000
MAX_PICKLE = 64 * 2**20  # bytes of the entry that says which array is where
CHUNK = 2**20


def check_archive(path: Path) -> None:
    """Read every byte of a `.pth` file once and check it against the archive's own sums.

    Raises InputError for a file that is missing, empty, cut off, damaged or something else, RefusedError for one that
    would unpack to more than it holds.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise InputError(found, "a .pth file", file=path)
    try:
        with path.open("rb") as file:
            head = file.read(512)
            size = path.stat().st_size
            if not zipfile.is_zipfile(file):
                raise InputError(_kind(head, size), "a .pth file written by torch.save", file=path)
            with zipfile.ZipFile(file) as archive:
                _check_sizes(archive, size, path)
                for entry in archive.infolist():
                    _check_sum(archive, entry, path)
    except OSError as error:
        raise InputError((error.strerror or str(error)).lower(), "a readable file", file=path) from error
    except (zipfile.BadZipFile, RuntimeError, ValueError, IndexError) as error:
        # what zipfile raises, besides BadZipFile, for damaged names, flags and offsets
        raise InputError("a damaged archive", "a whole .pth file", file=path) from error


def _kind(head: bytes, size: int) -> str:
    """Return what a file that is no zip archive seems to be."""
    text = head.lstrip().lower()
    if not size:
        return "an empty file"
    if not head.strip(b"\0"):
        return f"{size} bytes that start with zeros only (lost power while it was written?)"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file it stands for (git lfs pull fetches it)"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page"
    if head.startswith(b"PK"):
        return f"an archive that is cut off ({size} bytes)"
    if int.from_bytes(head[:8], "little") < size and head[8:9] == b"{":
        return "a safetensors file"
    if head.startswith(b"\x80"):
        return "a bare pickle, which could hold code"
    return f"{size} bytes that are no archive"


def _check_sizes(archive: zipfile.ZipFile, size: int, path: Path) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise RefusedError(f"{len(entries)} entries", f"at most {MAX_ENTRIES}", file=path)
    if len(set(archive.namelist())) < len(entries):
        raise RefusedError("two entries of one name", "every name once", file=path)
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise RefusedError("a compressed entry", "stored entries only", file=path, field=shown(entry.filename))
        if entry.filename.endswith("/data.pkl") and entry.file_size > MAX_PICKLE:
            raise RefusedError(f"{entry.file_size} bytes", f"at most {MAX_PICKLE}", file=path, field="data.pkl")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > size:
        raise RefusedError(f"entries of {unpacked} bytes in all", f"at most the file's {size}", file=path)


def _check_sum(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    try:
        with archive.open(entry) as content:
            while content.read(CHUNK):
                pass  # zipfile compares the CRC-32 when it reaches the end
    except (zipfile.BadZipFile, EOFError) as error:
        name = entry.filename.partition("/")[2] or entry.filename
        raise InputError(
            "bytes that do not match their checksum", "an undamaged file", file=path, field=name
        ) from error
