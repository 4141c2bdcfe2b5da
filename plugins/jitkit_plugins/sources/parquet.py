"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from jitkit.component import Component
from jitkit.data.corpus import Corpus
from jitkit.data.find_files import FileKind, find_named_files
from jitkit.data.text_files import MAX_DOCUMENT
from jitkit.errors import InputError, RefusedError, ResourceError, did_you_mean, shown
from jitkit.files import Files
from jitkit.filesystem import open_regular, real_path
from jitkit.storage.git_lfs import MAX_POINTER, refuse_pointer

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

PARQUET_FILES = FileKind((".parquet",), gzipped=False)
ROWS_AT_ONCE = 256
BUFFER = 1 << 20  # bytes of a column that are read at a time, so a large row group is never in memory as a whole


class ParquetSource(Component):
    """Parquet files of any size: each row has a document in a text column (needs the `parquet` extra)."""

    name: ClassVar[str] = "parquet"
    reads_paths: ClassVar[bool] = True  # `path` may name files from the command line

    path: str = Field(min_length=1, description="file, folder (read recursively) or glob")
    column: str = Field("text", min_length=1, description="the column with the text")
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
        """Return the source. Raises InputError if no file is found, ResourceError if pyarrow is not installed."""
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            expected, hint = "an installed one, for the data source `parquet`", "pip install 'jitkit[parquet]'"
            raise ResourceError("no package pyarrow", expected, field="data.use", hint=hint) from error
        found = find_named_files(self.path, files, PARQUET_FILES)
        place = str(real_path(files.path(self.path, field="data.path")))
        read = partial(_row_groups, found, self.column)
        return Corpus(found, read, self.validation_fraction, (self.name, place, self.column), origin=self.path)


@dataclass(frozen=True)
class RowGroup:
    """A row group of a Parquet file."""

    file: Path
    number: int
    column: str
    size: int  # bytes of the column, uncompressed

    def documents(self) -> Iterator[str]:
        """Yield the text of each row. Raises InputError, naming file and row group, if one cannot be read."""
        place = f"row group {self.number}, column {self.column}"
        with _opened(self.file, place) as table:
            batches = table.iter_batches(
                batch_size=ROWS_AT_ONCE, row_groups=[self.number], columns=[self.column], use_threads=False
            )
            row = 0
            for batch in batches:
                for text in batch.column(0):
                    yield _text(text, self.file, place, row)
                    row += 1


def _row_groups(files: list[Path], column: str) -> list[RowGroup]:
    """Return the row groups of all files. Raises InputError for a file that is not Parquet or has no such column."""
    found = []
    for file in files:
        with _opened(file, "metadata") as table:
            _require_text(table.schema_arrow, column, file)
            metadata = table.metadata
            place = [metadata.schema.column(number).path for number in range(metadata.num_columns)].index(column)
            for number in range(metadata.num_row_groups):
                size = metadata.row_group(number).column(place).total_uncompressed_size
                found.append(RowGroup(file, number, column, size))
    return found


def _require_text(schema: Any, column: str, file: Path) -> None:
    """Raise InputError unless a schema has a column of text with this name."""
    import pyarrow.types as types

    if column not in schema.names:
        expected = f"one of {', '.join(schema.names)}" if schema.names else "a column of text"
        hint = did_you_mean(column, schema.names)
        raise InputError(f"no column {shown(column)}", expected, file=file, field="data.column", hint=hint)
    kind = schema.field(column).type
    value = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(value) or types.is_large_string(value) or types.is_string_view(value)):
        found = f"column {shown(column)} of type {kind}"
        raise InputError(found, "a column of text (string)", file=file, field="data.column")


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
            found = (
                f"damaged or incomplete data ({str(error).splitlines()[0].rstrip('.') if str(error) else 'no reason'})"
            )
            raise InputError(found, "a Parquet file", file=file, field=place) from error


def _text(value: Any, file: Path, place: str, row: int) -> str:
    """Return the text of a cell. Raises InputError for null and invalid UTF-8, RefusedError for an excessive size."""
    try:
        text = value.as_py()
    except UnicodeDecodeError as error:
        found = f"invalid UTF-8 in row {row}, at byte {error.start} of the text"
        raise InputError(found, "UTF-8 text", file=file, field=place) from error
    if text is None:
        raise InputError(f"null in row {row}", "a string", file=file, field=place)
    if len(text) > MAX_DOCUMENT:
        raise RefusedError(
            f"more than {MAX_DOCUMENT} characters in row {row}", "smaller documents", file=file, field=place
        )
    return str(text)
