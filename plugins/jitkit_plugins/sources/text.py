"""Text files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator

from jitkit.component import Component
from jitkit.data.archives import ARCHIVES
from jitkit.data.corpus import Corpus
from jitkit.data.encoding_names import UTF8, encoding_named
from jitkit.data.find_files import find_named_files
from jitkit.data.split import SplitDocuments
from jitkit.data.text_files import TEXT_FILES, read_documents, text_size
from jitkit.files import Files
from jitkit.filesystem import real_path, size_of


class TextSource(Component):
    """Text files: .txt or .md (one document), .jsonl (one per line, key "text"), also .gz, .zst, or in a .zip or .tar archive."""

    name: ClassVar[str] = "text"
    reads_paths: ClassVar[bool] = True  # `path` may name files from the command line
    path_suffixes: ClassVar[tuple[str, ...]] = (*TEXT_FILES.suffixes, *ARCHIVES)

    path: str = Field(min_length=1, description="file, folder (read recursively) or glob")
    validation_fraction: float = Field(
        0.05, gt=0, le=0.5, description="fraction of the characters to hold out; whole documents if there are several"
    )
    split: Literal["size", "hash"] = Field(
        "size",
        description="size: hold out just this fraction; hash: decide for each document on its own, for a large corpus",
    )

    encoding: str = Field(UTF8, description="the encoding of the files")

    _known_encoding = field_validator("encoding")(encoding_named)

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a source of two short documents, which are written to `folder`."""
        (folder / "one.txt").write_text("The quick brown fox.\n" * 20, encoding="utf-8")
        (folder / "two.txt").write_text("Le cœur a ses raisons.\n" * 5, encoding="utf-8")
        return cls(path=str(folder))

    def build(self, files: Files) -> SplitDocuments | Corpus:
        """Return the source. Raises InputError if no file is found, RefusedError for links that leave the folder."""
        found = find_named_files(self.path, files, TEXT_FILES)
        if self.split == "size":
            read, sizes = partial(_read, found, self.encoding), [text_size(file) for file in found]
            size = sum(sizes) if all(sizes) else 0
            return SplitDocuments(read, self.validation_fraction, origin=self.path, size=size)
        place = str(real_path(files.path(self.path, field="data.path")))
        identity = (self.name, place) if self.encoding == UTF8 else (self.name, place, self.encoding)
        blocks = partial(_blocks, found, self.encoding)
        return Corpus(found, blocks, self.validation_fraction, identity, origin=self.path)


@dataclass(frozen=True)
class TextFile:
    """A file as a block of a corpus."""

    file: Path
    size: int
    encoding: str = field(repr=False)  # is in the identity of the corpus

    def documents(self) -> Iterator[str]:
        """Yield the documents of the file."""
        return read_documents(self.file, self.encoding)


def _blocks(files: list[Path], encoding: str) -> Sequence[TextFile]:
    return [TextFile(file, text_size(file) or size_of(file), encoding) for file in files]


def _read(files: list[Path], encoding: str) -> Iterator[str]:
    for file in files:
        yield from read_documents(file, encoding)
