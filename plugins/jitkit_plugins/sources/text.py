"""Text files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field

from jitkit.component import Component
from jitkit.data.split import SplitDocuments
from jitkit.data.text_files import check_inside, find_text_files, read_documents
from jitkit.errors import InputError, shown
from jitkit.files import Files
from jitkit.filesystem import exists, glob, is_folder


class TextSource(Component):
    """A file, folder or glob of UTF-8 text: .txt or .md (one document), .jsonl (one per line, key "text"), also gzipped."""

    name: ClassVar[str] = "text"
    reads_paths: ClassVar[bool] = True  # `path` may name files from the command line

    path: str = Field(min_length=1, description="file, folder (read recursively) or glob")
    validation_fraction: float = Field(
        0.05, gt=0, le=0.5, description="fraction of the characters to hold out; whole documents if there are several"
    )

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a source of two short documents, which are written to `folder`."""
        (folder / "one.txt").write_text("The quick brown fox.\n" * 20, encoding="utf-8")
        (folder / "two.txt").write_text("Le cœur a ses raisons.\n" * 5, encoding="utf-8")
        return cls(path=str(folder))

    def build(self, files: Files) -> SplitDocuments:
        """Return the source. Raises InputError if no file is found, RefusedError for links that leave the folder."""
        found = _find(self.path, files)
        return SplitDocuments(partial(_read, found), self.validation_fraction, origin=self.path)


def _find(name: str, files: Files) -> list[Path]:
    path = files.path(name, field="data.path")
    if any(mark in name for mark in "*?[") and not exists(path):
        root = Path() if name in files.allowed else files.root
        found = [file for match in glob(name, root) if not is_folder(match) for file in find_text_files(match)]
        if not found:
            raise InputError(f"no file matching {shown(name)}", "at least one", file=path, field="data.path")
    else:
        found = find_text_files(path)
    if name not in files.allowed:
        for file in found:
            check_inside(file, files.root)
    return found


def _read(files: list[Path]) -> Iterator[str]:
    for file in files:
        yield from read_documents(file)
