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
from jitkit.errors import InputError, RefusedError, shown
from jitkit.filesystem import entries, exists, folders_below, is_file, is_folder, is_special, open_regular, real_path
from jitkit.storage.git_lfs import MAX_POINTER, refuse_pointer

SUFFIXES = (".txt", ".md", ".jsonl")
MAX_DOCUMENT = 1 << 30  # bytes, uncompressed
MAX_EXPANSION = 100  # of a gzipped document larger than `MIN_EXPANDED` bytes; text is rarely compressed to a tenth
MIN_EXPANDED = 1 << 26
_EXPECTED = "a file ending in .txt, .md or .jsonl (or one of these with .gz)"


def find_text_files(path: Path) -> list[Path]:
    """Return a list with `path`, or all text files in it if it is a folder, sorted by name.

    In folders, hidden and other files are skipped. Links to folders are followed once, so loops are harmless. Raises
    InputError when there is no such file.
    """
    if not exists(path):
        raise InputError("no such file or folder", _EXPECTED + ", or a folder of them", file=path)
    if is_folder(path):
        found = sorted(_below(path))
        if not found:
            raise InputError("no .txt, .md or .jsonl file", "at least one", file=path)
        return found
    if not is_file(path):
        raise InputError("a special file", _EXPECTED, file=path)
    if not is_text_file(path):
        raise InputError(f"suffix {shown(path.suffix)}", _EXPECTED, file=path)
    return [path]


def is_text_file(path: Path) -> bool:
    """Return whether `read_documents` can read a file with this name."""
    return _plain_name(path).endswith(SUFFIXES)


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
            if _plain_name(path).endswith(".jsonl"):
                yield from _lines(file, limit, path)
            else:
                yield decode(_limited(file.read(limit + 1), limit, path), path)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            found = f"damaged or truncated compression ({str(error).rstrip('.')})"
            raise InputError(found, "a complete gzip file", file=path) from error


def _plain_name(path: Path) -> str:
    return path.name.lower().removesuffix(".gz")


def _uncompressed(raw: BinaryIO) -> tuple[BinaryIO, int]:
    """Return the uncompressed file, and how large a document in it may be."""
    size = raw.seek(0, io.SEEK_END)
    raw.seek(0)
    limit = min(MAX_DOCUMENT, max(MIN_EXPANDED, MAX_EXPANSION * size))
    return io.BufferedReader(gzip.GzipFile(fileobj=raw)), limit


def _below(folder: Path) -> Iterator[Path]:
    for place in folders_below(folder):
        for entry in entries(place):
            if is_text_file(entry) and not entry.name.startswith(".") and not is_folder(entry):
                if is_special(entry):
                    raise InputError("a special file", _EXPECTED, file=entry)
                yield entry


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


def check_inside(path: Path, root: Path) -> None:
    """Raise RefusedError if `path` resolves, through links, to a file outside `root`."""
    if not real_path(path).is_relative_to(real_path(root)):
        found, hint = f"a link to {real_path(path)}", "Use --data PATH for data outside this folder."
        raise RefusedError(found, f"files inside {root}", file=path, field="data.path", hint=hint)
