"""Where the text comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jitkit.files import Files

Split = Literal["train", "validation"]


class DataSource(Protocol):
    """Text documents in a fixed order.

    Requirements: `documents` yields the same documents on each call; no document, nor any part of one, is in both
    splits; each split has at least one document.
    """

    def documents(self, split: Split) -> Iterator[str]:
        """Yield the documents of a split. Raises InputError with file and line for unreadable text."""

    def fingerprint(self) -> str:
        """Return a hex digest that changes whenever a document or the split changes."""


@runtime_checkable
class DataSourceComponent(Protocol):
    """Settings of a data source: the table `[data]`.

    A component with the class attribute `reads_paths = True` has a field `path` that `--data PATH` replaces. Its
    `path_suffixes`, such as `(".csv",)`, are those of files for which `--data` chooses it.
    """

    name: ClassVar[str]

    def build(self, files: Files) -> DataSource:
        """Return the source; `files` resolves paths. Raises InputError when there is nothing to read."""
