"""Text files in a fixed order, decoded strictly and unchanged, except that a byte order mark is removed.

A `.txt` or `.md` file is one document. A `.jsonl` file has one document per line, an object with a string "text". All may
be compressed (`.gz`, `.zst`), or members of a `.zip` or `.tar` archive. Suffixes may have upper-case letters.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from jitkit.data.archives import is_archive, members, naming_damage, zip_size
from jitkit.data.compression import MAX_DOCUMENT, PRINTED_BY, expanded_limit, opened
from jitkit.data.encoding import TextPlace, decode, recoded
from jitkit.data.encoding_names import UTF8
from jitkit.data.find_files import FileKind, find_files, plain_name
from jitkit.data.pieces import file_of
from jitkit.errors import InputError, RefusedError, shown
from jitkit.filesystem import size_of

TEXT_FILES = FileKind((".txt", ".md", ".jsonl"), compressed=True, archived=True)


@dataclass(frozen=True)
class OpenText:
    """A text, open for reading as UTF-8."""

    file: BinaryIO
    name: str  # in lower case, without the suffix of a compression
    place: TextPlace
    limit: int  # bytes of a document

    def read(self) -> str:
        """Return all of it as one document. Raises what `decode` raises, and RefusedError if it is too large."""
        return decode(self._limited(self.file.read(self.limit + 1)), self.place)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield each line with its number. Raises what `read` raises."""
        offset = number = 0
        while line := self.file.readline(self.limit + 1):
            number += 1
            yield number, decode(self._limited(line, number), self.place, offset, number)
            offset += len(line)

    def _limited(self, data: bytes, line: int | None = None) -> bytes:
        if len(data) > self.limit:
            hint = (
                "Split it into several files."
                if self.limit == MAX_DOCUMENT
                else "If this is intended, unpack it first."
            )
            found = f"more than {self.limit} bytes"
            raise RefusedError(found, "smaller documents", file=self.place.name, line=line, hint=hint)
        return data


def text_size(path: Path) -> int:
    """Return how many bytes of text a file has, as far as this is known without reading it; otherwise 0."""
    suffix = path.suffix.lower()
    if suffix == ".zip":
        with naming_damage(path):
            return zip_size(path, FileKind(TEXT_FILES.suffixes).matches)
    return 0 if suffix in PRINTED_BY else size_of(path)


ReadText = Callable[[OpenText], Iterator[str]]


def find_text_files(path: Path) -> list[Path]:
    """Return a list with `path`, or all text files in it if it is a folder, sorted by name; see `find_files`."""
    return find_files(path, TEXT_FILES)


def read_documents(path: Path, encoding: str = UTF8) -> Iterator[str]:
    """Yield the documents of a text file or archive, with their original line ends.

    Raises InputError, naming the position, for text in another encoding, damaged compression, invalid JSON lines and Git LFS
    pointers, and RefusedError for a document larger than `MAX_DOCUMENT` bytes or expanded more than `MAX_EXPANSION` times.
    """
    return read_texts(path, TEXT_FILES, _documents, encoding)


def read_texts(path: Path, kind: FileKind, read: ReadText, encoding: str = UTF8) -> Iterator[str]:
    """Yield what `read` yields from the text in a file, or from each text of a kind in an archive.

    Raises InputError for an archive without any.
    """
    if kind.archived and is_archive(path.name):
        yield from _read_archive(path, kind, read, encoding)
        return
    with opened(path) as (file, limit):
        command = PRINTED_BY.get(path.suffix.lower(), "")
        place = TextPlace(str(path), command and f"{command} {shlex.quote(str(path))}", encoding)
        yield from read(_open_text(file, plain_name(path.name), place, limit or MAX_DOCUMENT))


def _read_archive(path: Path, kind: FileKind, read: ReadText, encoding: str) -> Iterator[str]:
    command = "unzip -p" if path.suffix.lower() == ".zip" else "tar -xOf"
    found, limit = False, expanded_limit(size_of(path))
    with naming_damage(path):
        for name, file in members(path, FileKind(kind.suffixes).matches):
            found = True
            place = TextPlace(f"{path}/{name}", f"{command} {shlex.quote(str(path))} {shlex.quote(name)}", encoding)
            yield from read(_open_text(file, name.lower(), place, limit))
    if not found:
        raise InputError(f"no {kind.listed} file in the archive", "at least one", file=path)


def _open_text(file: BinaryIO, name: str, place: TextPlace, limit: int) -> OpenText:
    content = file if place.encoding == UTF8 else file_of(recoded(file, place))
    return OpenText(content, name, place, min(MAX_DOCUMENT, limit))


def _documents(text: OpenText) -> Iterator[str]:
    if not text.name.endswith(".jsonl"):
        yield text.read()
        return
    for number, line in text.lines():
        if line.strip():
            yield _text_of(line, text.place.name, number)


def _text_of(line: str, path: str, number: int) -> str:
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
