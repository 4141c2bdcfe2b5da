"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from jitkit.component import Component
from jitkit.data.columns import COLUMN, NULLS, Nulls, choose_column, null_error
from jitkit.data.compression import MAX_DOCUMENT
from jitkit.data.corpus import Corpus
from jitkit.data.find_files import FileKind, find_named_files
from jitkit.errors import InputError, RefusedError, first_line, missing_package, shown
from jitkit.files import Files
from jitkit.filesystem import open_regular, real_path
from jitkit.storage.git_lfs import MAX_POINTER, refuse_pointer

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

PARQUET_FILES = FileKind((".parquet",))
ROWS_AT_ONCE = 256
BUFFER = 1 << 20  # bytes of a column that are read at a time, so a large row group is never in memory as a whole


class ParquetSource(Component):
    """Parquet files of any size: each row has a document in a text column (needs the `parquet` extra)."""

    name: ClassVar[str] = "parquet"
    reads_paths: ClassVar[bool] = True  # `path` may name files from the command line
    path_suffixes: ClassVar[tuple[str, ...]] = PARQUET_FILES.suffixes

    path: str = Field(min_length=1, description="file, folder (read recursively) or glob")
    column: str = Field("", description=COLUMN)
    nulls: Nulls = Field("error", description=NULLS)
    validation_fraction: float = Field(
        0.01, gt=0, le=0.5, description="fraction of the documents to hold out, by the hash of their text"
    )

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a source of two files with three row groups, which are written to `folder`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        texts = [f"Document {number} of a small corpus. " * (number % 5 + 1) for number in range(60)]
        pq.write_table(pa.table({"text": texts[:40]}), folder / "one.parquet", row_group_size=20)
        pq.write_table(pa.table({"text": texts[40:]}), folder / "two.parquet")
        return cls(path=str(folder), validation_fraction=0.2)

    def build(self, files: Files) -> Corpus:
        """Return the source. Raises InputError if no file is found, or if the first one has no such column.

        Raises ResourceError if pyarrow is not installed.
        """
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise missing_package("pyarrow", "the data source `parquet`", "parquet", field="data.use") from error
        found = find_named_files(self.path, files, PARQUET_FILES)
        place = str(real_path(files.path(self.path, field="data.path")))
        with _opened(found[0], "metadata") as table:
            column = _column_of_text(table.schema_arrow, self.column, found[0])
        read = partial(_row_groups, found, column, self.nulls)
        return Corpus(found, read, self.validation_fraction, (self.name, place, column), origin=self.path)


@dataclass(frozen=True)
class RowGroup:
    """A row group of a Parquet file."""

    file: Path
    number: int
    column: str
    size: int  # bytes of the column, uncompressed
    nulls: Nulls = field(default="error", repr=False)

    def documents(self) -> Iterator[str]:
        """Yield the text of each row. Raises InputError, naming file and row group, if one cannot be read."""
        place = f"row group {self.number}, column {self.column}"
        with _opened(self.file, place) as table:
            batches = table.iter_batches(
                batch_size=ROWS_AT_ONCE, row_groups=[self.number], columns=[self.column], use_threads=False
            )
            row = 0
            for batch in batches:
                for value in batch.column(0):
                    if (text := _text(value, self.file, place, row)) is not None:
                        yield text
                    elif self.nulls == "error":
                        raise null_error(f"null in row {row}", self.file, field=place)
                    row += 1


def _row_groups(files: list[Path], column: str, nulls: Nulls) -> list[RowGroup]:
    """Return the row groups of all files. Raises InputError for a file that is not Parquet or has no such column."""
    found = []
    for file in files:
        with _opened(file, "metadata") as table:
            _column_of_text(table.schema_arrow, column, file)
            metadata = table.metadata
            place = [metadata.schema.column(number).path for number in range(metadata.num_columns)].index(column)
            for number in range(metadata.num_row_groups):
                size = metadata.row_group(number).column(place).total_uncompressed_size
                found.append(RowGroup(file, number, column, size, nulls))
    return found


def _column_of_text(schema: Any, name: str, file: Path) -> str:
    """Return the column to read. Raises InputError unless the schema has a column of text with this name."""
    column = choose_column(name, schema.names, [field.name for field in schema if _is_text(field.type)], file)
    if not _is_text(kind := schema.field(column).type):
        found = f"column {shown(column)} of type {kind}"
        raise InputError(found, "a column of text (string)", file=file, field="data.column")
    return column


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    value = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(value) or types.is_large_string(value) or types.is_string_view(value))


@contextmanager
def _opened(file: Path, place: str) -> Iterator[ParquetFile]:
    """Yield an open file. Damage that is found inside the block is an InputError about `place`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_regular(file) as raw:
        refuse_pointer(raw.read(MAX_POINTER), file)
        raw.seek(0)
        try:
            yield pq.ParquetFile(raw, buffer_size=BUFFER)
        except (pa.ArrowException, OSError) as error:
            found = f"damaged or incomplete data ({first_line(error)})"
            raise InputError(found, "a Parquet file", file=file, field=place) from error


def _text(value: Any, file: Path, place: str, row: int) -> str | None:
    """Return the text of a cell. Raises InputError for invalid UTF-8, RefusedError for an excessive size."""
    try:
        text = value.as_py()
    except UnicodeDecodeError as error:
        found = f"invalid UTF-8 in row {row}, at byte {error.start} of the text"
        raise InputError(found, "UTF-8 text", file=file, field=place) from error
    if text is not None and len(text) > MAX_DOCUMENT:
        raise RefusedError(
            f"more than {MAX_DOCUMENT} characters in row {row}", "smaller documents", file=file, field=place
        )
    return None if text is None else str(text)
