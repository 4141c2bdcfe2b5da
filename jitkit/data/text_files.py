"""Text files in a fixed order, decoded strictly as UTF-8 and unchanged, except that a byte order mark is removed.

A `.txt` or `.md` file is one document. A `.jsonl` file has one document per line, an object with a string "text". All may
be gzipped (`.gz`). Suffixes may have upper-case letters.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from jitkit.data.encoding import decode
from jitkit.data.find_files import FileKind, find_files, plain_name
from jitkit.errors import InputError, RefusedError, shown
from jitkit.filesystem import open_regular
from jitkit.storage.git_lfs import MAX_POINTER, refuse_pointer

TEXT_FILES = FileKind((".txt", ".md", ".jsonl"), gzipped=True)
MAX_DOCUMENT = 1 << 30  # bytes, uncompressed
MAX_EXPANSION = 100  # of a gzipped document larger than `MIN_EXPANDED` bytes; text is rarely compressed to a tenth
MIN_EXPANDED = 1 << 26


def find_text_files(path: Path) -> list[Path]:
    """Return a list with `path`, or all text files in it if it is a folder, sorted by name; see `find_files`."""
    return find_files(path, TEXT_FILES)


def read_documents(path: Path) -> Iterator[str]:
    """Yield the documents of a text file, with their original line ends.

    Raises InputError, naming the position, for invalid UTF-8, damaged compression, invalid JSON lines and Git LFS
    pointers, and RefusedError for a document larger than `MAX_DOCUMENT` bytes or expanded more than `MAX_EXPANSION` times.
    """
    with open_regular(path) as raw:
        refuse_pointer(raw.read(MAX_POINTER), path)
        raw.seek(0)
        file, limit = _uncompressed(raw) if path.name.lower().endswith(".gz") else (raw, MAX_DOCUMENT)
        try:
            if plain_name(path).endswith(".jsonl"):
                yield from _lines(file, limit, path)
            else:
                yield decode(_limited(file.read(limit + 1), limit, path), path)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            found = f"damaged or truncated compression ({str(error).rstrip('.')})"
            raise InputError(found, "a complete gzip file", file=path) from error


def _uncompressed(raw: BinaryIO) -> tuple[BinaryIO, int]:
    """Return the uncompressed file, and how large a document in it may be."""
    size = raw.seek(0, io.SEEK_END)
    raw.seek(0)
    limit = min(MAX_DOCUMENT, max(MIN_EXPANDED, MAX_EXPANSION * size))
    return io.BufferedReader(gzip.GzipFile(fileobj=raw)), limit


def _limited(data: bytes, limit: int, path: Path, line: int | None = None) -> bytes:
    if len(data) > limit:
        hint = "Split it into several files." if limit == MAX_DOCUMENT else "If this is intended, unpack it first."
        raise RefusedError(f"more than {limit} bytes", "smaller documents", file=path, line=line, hint=hint)
    return data


def _lines(file: BinaryIO, limit: int, path: Path) -> Iterator[str]:
    offset = number = 0
    while line := file.readline(limit + 1):
        number += 1
        text = decode(_limited(line, limit, path, number), path, offset, number)
        offset += len(line)
        if text.strip():
            yield _text_of(text, path, number)


def _text_of(line: str, path: Path, number: int) -> str:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = str(error).partition(";")[0] if isinstance(error, ValueError) else "nested too deeply"
        raise InputError(f"invalid JSON ({reason})", 'an object with "text"', file=path, line=number) from error
    if not isinstance(document, dict):
        raise InputError(shown(document), 'an object with "text"', file=path, line=number)
    if "text" not in document:
        keys = ", ".join(map(repr, document)) or "none"
        raise InputError(f"no such key (keys: {keys[:100]})", "a string", file=path, line=number, field="text")
    text = document["text"]
    if not isinstance(text, str):
        found = "null" if text is None else shown(text)
        raise InputError(found, "a string", file=path, line=number, field="text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        surrogate = f"lone surrogate \\u{ord(text[error.start]):04x}"
        raise InputError(surrogate, "text that UTF-8 can encode", file=path, line=number, field="text") from error
    return text
