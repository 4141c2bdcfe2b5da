"""Text files in a fixed order, decoded strictly as UTF-8 and unchanged, except that a byte order mark is removed.

A `.txt` or `.md` file is one document. A `.jsonl` file has one document per line, an object with a string "text". All may
be gzipped (`.gz`).
"""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from jitkit.errors import InputError, RefusedError, io_reason, reading, shown

SUFFIXES = (".txt", ".md", ".jsonl")
MAX_DOCUMENT = 1 << 30  # bytes, uncompressed
_BOM = b"\xef\xbb\xbf"
_EXPECTED = "a file ending in .txt, .md or .jsonl (or one of these with .gz)"


def find_text_files(path: Path) -> list[Path]:
    """Return a list with `path`, or all text files in it if it is a folder, sorted by name.

    In folders, hidden and other files are skipped. Links to folders are followed once, so loops are harmless. Raises
    InputError when there is no such file.
    """
    if not path.exists():
        raise InputError("no such file or folder", _EXPECTED + ", or a folder of them", file=path)
    if path.is_dir():
        found = sorted(_below(path, set()))
        if not found:
            raise InputError("no .txt, .md or .jsonl file", "at least one", file=path)
        return found
    if not path.is_file():
        raise InputError("a special file", _EXPECTED, file=path)
    if not is_text_file(path):
        raise InputError(f"suffix {shown(path.suffix)}", _EXPECTED, file=path)
    return [path]


def is_text_file(path: Path) -> bool:
    """Return whether `read_documents` can read a file with this name."""
    return path.name.removesuffix(".gz").endswith(SUFFIXES)


def read_documents(path: Path) -> Iterator[str]:
    """Yield the documents of a text file, with their original line ends.

    Raises InputError, naming the position, for invalid UTF-8, damaged compression and invalid JSON lines, and RefusedError
    for a document larger than `MAX_DOCUMENT` bytes.
    """
    try:
        with io.BufferedReader(gzip.open(path)) if path.name.endswith(".gz") else path.open("rb") as file:
            if path.name.removesuffix(".gz").endswith(".jsonl"):
                yield from _lines(file, path)
            else:
                yield _decoded(_limited(file.read(MAX_DOCUMENT + 1), path), path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        found = f"damaged or truncated compression ({str(error).rstrip('.')})"
        raise InputError(found, "a complete gzip file", file=path) from error
    except OSError as error:
        raise InputError(io_reason(error), "a readable file", file=path) from error


def _below(folder: Path, visited: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    with reading(folder, "a readable folder"):
        entries = sorted(folder.iterdir())
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _below(entry, visited)
        elif is_text_file(entry):
            if entry.exists() and not entry.is_file():
                raise InputError("a special file", _EXPECTED, file=entry)
            yield entry


def _limited(data: bytes, path: Path, line: int | None = None) -> bytes:
    if len(data) > MAX_DOCUMENT:
        hint = "Split it into several files."
        raise RefusedError(f"more than {MAX_DOCUMENT} bytes", "smaller documents", file=path, line=line, hint=hint)
    return data


def _lines(file: BinaryIO, path: Path) -> Iterator[str]:
    offset = number = 0
    while line := file.readline(MAX_DOCUMENT + 1):
        number += 1
        text = _decoded(_limited(line, path, number), path, offset, number)
        offset += len(line)
        if text.strip():
            yield _text_of(text, path, number)


def _text_of(line: str, path: Path, number: int) -> str:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
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


def _decoded(data: bytes, path: Path, offset: int = 0, line: int | None = None) -> str:
    """Decode `data`, which starts at byte `offset` of the file, without a byte order mark."""
    start = len(_BOM) if offset == 0 and data.startswith(_BOM) else 0
    try:
        text = data[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        place = start + error.start
        found = f"byte 0x{data[place]:02x} at offset {offset + place}, not valid UTF-8"
        raise InputError(found, "UTF-8 text", file=path, line=line, hint=_encoding_hint(data, path)) from error
    if data[:4096].count(0) > len(data[:4096]) // 8:  # valid UTF-8, but most likely UTF-16 or binary data
        found = f"NUL bytes starting at offset {offset + data.index(0)}"
        raise InputError(found, "UTF-8 text", file=path, line=line, hint=_encoding_hint(data, path))
    return text


def _encoding_hint(data: bytes, path: Path) -> str:
    """Return the command that converts the file to UTF-8, for the encoding that the bytes suggest."""
    head = data[:4096]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "UTF-16"
    elif head.count(0) >= len(head) // 3:
        encoding = "UTF-16LE" if head[1:2] == b"\0" else "UTF-16BE"
    elif 0 not in head:
        encoding = "ISO-8859-1"
    else:
        return "It appears to be binary data."
    return f"If the encoding is {encoding}: iconv -f {encoding} -t UTF-8 {path.name} > NEW"


def check_inside(path: Path, root: Path) -> None:
    """Raise RefusedError if `path` resolves, through links, to a file outside `root`."""
    if not path.resolve().is_relative_to(root.resolve()):
        found, hint = f"a link to {path.resolve()}", "Use --data PATH for data outside this folder."
        raise RefusedError(found, f"files inside {root}", file=path, field="data.path", hint=hint)
