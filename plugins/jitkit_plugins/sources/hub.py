"""Datasets of the Hugging Face Hub."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from jitkit.component import Component
from jitkit.data.columns import COLUMN, NULLS, Nulls, choose_column, null_error, require_one_of
from jitkit.data.corpus import Corpus
from jitkit.errors import InputError, ResourceError, first_line, missing_package, shown
from jitkit.files import Files
from jitkit.filesystem import exists, is_folder, real_path

if TYPE_CHECKING:
    from datasets import Dataset

ROWS_IN_BLOCK = 10_000
ROWS_AT_ONCE = 256


class HubSource(Component):
    """A dataset of the Hugging Face Hub, or one saved with `save_to_disk` (needs the `hub` extra)."""

    name: ClassVar[str] = "hub"

    dataset: str = Field(
        "",
        pattern=r"^([\w-][\w.-]*(/[\w-][\w.-]*)?)?$",
        description='the id on the Hub, such as "roneneldan/TinyStories"',
    )
    path: str = Field("", description="a folder saved with `save_to_disk`, instead of `dataset`")
    config: str = Field("", description="the configuration of the dataset, if it has several")
    revision: str = Field("", description="a commit, tag or branch. Default: the newest")
    split: str = Field("train", min_length=1, description="the split of the dataset to read")
    column: str = Field("", description=COLUMN)
    nulls: Nulls = Field("error", description=NULLS)
    validation_fraction: float = Field(
        0.01, gt=0, le=0.5, description="fraction of the documents to hold out, by the hash of their text"
    )

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if bool(self.dataset) == bool(self.path):
            raise ValueError("either dataset or path is required")
        return self

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a source of a saved dataset, which is written to `folder`."""
        from datasets import Dataset, DatasetDict

        texts = [f"Document {number} of a small corpus. " * (number % 5 + 1) for number in range(60)]
        with _quiet():
            DatasetDict({"train": Dataset.from_dict({"text": texts})}).save_to_disk(folder / "saved")
        return cls(path=str(folder / "saved"), validation_fraction=0.2)

    def build(self, files: Files) -> Corpus:
        """Return the source, after a download if it is not in the cache of `datasets`.

        Raises InputError for an unknown dataset, configuration, split or column, ResourceError if the Hub cannot be reached
        or `datasets` is not installed.
        """
        try:
            import datasets  # noqa: F401
        except ImportError as error:
            raise missing_package("datasets", "the data source `hub`", "hub", field="data.use") from error
        place = str(real_path(files.path(self.path, field="data.path"))) if self.path else ""
        with _quiet():
            splits = _saved(Path(place), self.split) if place else self._download()
        origin = self.dataset or self.path
        require_one_of("split", self.split, splits, origin)
        data = splits[self.split]
        column = _column_of_text(data.features, self.column, origin)
        found = [Path(file["filename"]) for file in data.cache_files]
        read = partial(_blocks, found, column, self.nulls)
        identity = (self.name, self.dataset, place, self.config, self.revision, self.split, column)
        return Corpus(found, read, self.validation_fraction, identity, origin=origin)

    def _download(self) -> dict[str, Dataset]:
        """Return the splits of the dataset on the Hub, from the cache if it is there."""
        from datasets import load_dataset
        from datasets.exceptions import DatasetNotFoundError

        if exists(self.dataset):
            hint = "Rename it, or set data.path for a folder saved with save_to_disk."
            raise InputError("a local file or folder of this name", "the id of a dataset", file=self.dataset, hint=hint)
        try:
            return dict(load_dataset(self.dataset, self.config or None, revision=self.revision or None))
        except DatasetNotFoundError as error:
            found, hint = "no such dataset, or one that needs a login", "`hf auth login` stores a token."
            raise InputError(
                found, "a dataset of the Hugging Face Hub", file=self.dataset, field="data", hint=hint
            ) from error
        except ConnectionError as error:
            found = "no connection to the Hugging Face Hub, and no such dataset in the cache of `datasets`"
            hint = (
                "Run `jitkit data prepare` once with a connection, or copy the folder HF_HOME from a machine that did."
            )
            raise ResourceError(found, "one of them", file=self.dataset, field="data", hint=hint) from error
        except ValueError as error:
            known = re.findall("'([^']+)'", str(error).partition("vailable")[2])
            if not known:
                raise _unreadable(error, self.dataset) from error
            require_one_of("config", self.config, known, self.dataset)
            raise
        except Exception as error:  # whatever a reader of any format raises for a damaged file
            raise _unreadable(error, self.dataset) from error


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of an Arrow file of `datasets`."""

    file: Path
    column: str
    start: int
    stop: int
    size: int  # bytes of the column
    nulls: Nulls = field(default="error", repr=False)

    def documents(self) -> Iterator[str]:
        """Yield the text of each row. Raises InputError, naming the row, if one cannot be read."""
        data, place = _opened(self.file), f"column {self.column}"
        for start in range(self.start, self.stop, ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, self.stop)
            try:
                column = data.data.column(self.column).slice(start, stop - start)
                column.validate(full=True)  # reading a damaged one would crash the process
                texts = data[start:stop][self.column]
            except Exception as error:  # pyarrow raises various errors for damaged files
                raise _unreadable(error, self.file, place) from error
            for row, text in enumerate(texts, start):
                if text is not None:
                    yield text
                elif self.nulls == "error":
                    raise null_error(f"null in row {row}", self.file, field=place)


def _saved(folder: Path, split: str) -> dict[str, Dataset]:
    """Return the splits of a saved dataset. Raises InputError if there is none at `folder`."""
    from datasets import Dataset, load_from_disk

    if not is_folder(folder):
        raise InputError("no such folder", "a dataset saved with save_to_disk", file=folder, field="data.path")
    try:
        data = load_from_disk(str(folder))
    except Exception as error:  # missing and damaged files raise various errors
        raise _unreadable(error, folder, "data.path", "a dataset saved with save_to_disk") from error
    return {split: data} if isinstance(data, Dataset) else dict(data)


def _blocks(files: list[Path], column: str, nulls: Nulls) -> list[Rows]:
    found = []
    for file in files:
        data = _opened(file)
        size = data.data.column(column).nbytes // max(1, len(data))
        for start in range(0, len(data), ROWS_IN_BLOCK):
            stop = min(start + ROWS_IN_BLOCK, len(data))
            found.append(Rows(file, column, start, stop, size * (stop - start), nulls))
    return found


def _opened(file: Path) -> Dataset:
    """Return the rows of an Arrow file, which is mapped into memory."""
    from datasets import Dataset

    try:
        return Dataset.from_file(str(file))
    except Exception as error:  # missing and damaged files raise various errors
        raise _unreadable(error, file) from error


def _column_of_text(features: Any, name: str, origin: str) -> str:
    """Return the column to read. Raises InputError unless there is a column of text with this name."""
    texts = [column for column in features if _is_text(features[column])]
    column = choose_column(name, features, texts, origin)
    if column not in texts:
        kind = getattr(features[column], "dtype", type(features[column]).__name__)
        found = f"column {shown(column)} of type {kind}"
        raise InputError(found, "a column of text (string)", file=origin, field="data.column")
    return column


def _is_text(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in {"string", "large_string"}


def _unreadable(
    error: Exception, file: object, field: str = "data", expected: str = "a readable dataset"
) -> InputError:
    return InputError(f"{type(error).__name__} ({first_line(error)})", expected, file=file, field=field)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what `datasets` logs of retries, and its progress bars."""
    import datasets

    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels, bars = [logger.level for logger in loggers], datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()
