"""Tables in text files: CSV and TSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, field_validator

from jitkit.component import Component
from jitkit.data.columns import COLUMN, NULLS, Nulls, choose_column, null_error
from jitkit.data.corpus import Corpus
from jitkit.data.encoding_names import UTF8, encoding_named
from jitkit.data.find_files import FileKind, find_named_files
from jitkit.data.text_files import OpenText, read_texts
from jitkit.errors import InputError, RefusedError, counted, shown
from jitkit.files import Files
from jitkit.filesystem import real_path, size_of

MAX_CELL = 1 << 24  # characters; an unclosed quote makes all that follows one cell, and it is in memory as a whole


class _Table(Component):
    """Tables whose first row names the columns: each other row has a document in a column."""

    reads_paths: ClassVar[bool] = True  # `path` may name files from the command line
    path_suffixes: ClassVar[tuple[str, ...]]

    path: str = Field(min_length=1, description="file, folder (read recursively) or glob")
    column: str = Field("", description=COLUMN)
    quoted: bool = Field(True, description="whether double quotes enclose cells, which may then contain line ends")
    nulls: Nulls = Field("error", description=NULLS)
    encoding: str = Field(UTF8, description="the encoding of the files")
    validation_fraction: float = Field(
        0.01, gt=0, le=0.5, description="fraction of the documents to hold out, by the hash of their text"
    )

    _known_encoding = field_validator("encoding")(encoding_named)

    @property
    def separator(self) -> str:
        """The character between cells."""
        return "\t"

    @classmethod
    def _write_tiny(cls, folder: Path, separator: str) -> str:
        """Write two files to `folder`, and return its name."""
        texts = [f'Document "{number}"{separator} of a small\ncorpus. ' * (number % 5 + 1) for number in range(60)]
        for part in (0, 1):
            rows = StringIO()
            csv.writer(rows, delimiter=separator).writerows([("id", "text"), *enumerate(texts[part::2])])
            (folder / f"{part}{cls.path_suffixes[0]}").write_text(rows.getvalue(), encoding=UTF8, newline="")
        return str(folder)

    def build(self, files: Files) -> Corpus:
        """Return the source. Raises InputError if no file is found."""
        found = find_named_files(self.path, files, FileKind(self.path_suffixes, compressed=True))
        place = str(real_path(files.path(self.path, field="data.path")))
        layout = Layout(self.column, self.separator, self.quoted, self.encoding, self.nulls)
        identity = (self.name, place, *map(str, (self.column, self.separator, self.quoted, self.encoding)))
        return Corpus(found, partial(_blocks, found, layout), self.validation_fraction, identity, origin=self.path)


class CsvSource(_Table):
    """CSV files (.csv, also .gz or .zst): the first row names the columns, each other row has a document in a column."""

    name: ClassVar[str] = "csv"
    path_suffixes: ClassVar[tuple[str, ...]] = (".csv",)

    delimiter: str = Field(",", pattern=r'^[^\r\n"]$', description="the character between cells")

    @property
    def separator(self) -> str:
        """The character between cells."""
        return self.delimiter

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a source of two files, which are written to `folder`."""
        return cls(path=cls._write_tiny(folder, ","), validation_fraction=0.2)


class TsvSource(_Table):
    """TSV files (.tsv, also .gz or .zst): tables with a tab between cells, otherwise like `csv`."""

    name: ClassVar[str] = "tsv"
    path_suffixes: ClassVar[tuple[str, ...]] = (".tsv",)

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a source of two files, which are written to `folder`."""
        return cls(path=cls._write_tiny(folder, "\t"), validation_fraction=0.2)


@dataclass(frozen=True)
class Layout:
    """Where the text of a row is, and how rows are written."""

    column: str
    delimiter: str
    quoted: bool
    encoding: str
    nulls: Nulls = field(repr=False)


@dataclass(frozen=True)
class Table:
    """A file as a block of a corpus."""

    file: Path
    size: int
    layout: Layout

    def documents(self) -> Iterator[str]:
        """Yield the text of each row. Raises InputError, naming the line, if one cannot be read."""
        return read_texts(self.file, FileKind(()), partial(_cells, self.layout), self.layout.encoding)


def _blocks(files: Sequence[Path], layout: Layout) -> list[Table]:
    return [Table(file, size_of(file), layout) for file in files]


def _cells(layout: Layout, text: OpenText) -> Iterator[str]:
    """Yield the cells of the column."""
    file = text.place.name
    rows = _rows(layout, text)
    _, header = next(rows, (0, list[str]()))
    column = choose_column(layout.column, header, header, file)
    if header.count(column) > 1:
        raise InputError(f"two columns {shown(column)}", "different names", file=file, line=1, field="data.column")
    place = header.index(column)
    for line, row in rows:
        if len(row) != len(header):
            expected = f"{len(header)}, as in the first row"
            raise InputError(counted(len(row), "cell"), expected, file=file, line=line)
        if row[place]:
            yield row[place]
        elif layout.nulls == "error":
            raise null_error("an empty cell", file, line=line, field=f"column {column}")


def _rows(layout: Layout, text: OpenText) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank, with the number of its first line."""
    csv.field_size_limit(MAX_CELL)  # of the process: there is no other way
    reader = csv.reader(
        (line for _, line in text.lines()),
        delimiter=layout.delimiter,
        quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
        strict=True,
    )
    start = 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise _invalid(str(error), text, start) from error
        if row is None:
            return
        if row:
            yield start, row
        start = reader.line_num + 1


def _invalid(reason: str, text: OpenText, line: int) -> InputError | RefusedError:
    file, hint = text.place.name, "Is a quote not closed? Without quoting: --set data.quoted=false"
    if "field limit" in reason:
        return RefusedError(
            f"more than {MAX_CELL} characters in a cell", "smaller cells", file=file, line=line, hint=hint
        )
    return InputError(f"invalid CSV ({reason})", "rows of cells", file=file, line=line, hint=hint)
