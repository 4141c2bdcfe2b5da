"""The text8 benchmark."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from jitkit.component import Component
from jitkit.errors import InputError
from jitkit.files import Files
from jitkit.filesystem import open_regular
from jitkit.protocols.data_source import Split
from jitkit.storage.git_lfs import MAX_POINTER, refuse_pointer

SYMBOLS = b"abcdefghijklmnopqrstuvwxyz "

Count = Annotated[int, Field(ge=1)]


class Text8Source(Component):
    """A local copy of text8 (27 symbols), split as usual: 90M for training, 5M for validation, 5M for testing."""

    name: ClassVar[str] = "text8"

    path: str = Field(min_length=1, description="the uncompressed file, 100,000,000 bytes")
    held_out: Literal["validation", "test"] = Field(
        "validation", description="which part to hold out; the other is unused"
    )
    sizes: tuple[Count, Count, Count] = Field(
        (90_000_000, 5_000_000, 5_000_000),
        description="symbols for training, validation and testing; only the default is comparable with published results",
    )

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a source of a short file, which is written to `folder`."""
        (folder / "text8").write_bytes(b" anarchism originated as a term of abuse first used against early working" * 3)
        return cls(path=str(folder / "text8"), sizes=(120, 50, 49))

    def build(self, files: Files) -> Text8:
        """Return the source. Reading it raises InputError for a wrong size or other symbols."""
        path = files.path(self.path, field="data.path")
        return Text8(path, self.sizes, self.held_out)


@dataclass(frozen=True)
class Text8:
    """One document per split, with the standard boundaries."""

    path: Path
    sizes: tuple[int, int, int]
    held_out: Literal["validation", "test"]

    def documents(self, split: Split) -> Iterator[str]:
        """Yield the one document of a split."""
        train, validation, _ = self.sizes
        ends = {"train": (0, train), "validation": (train, train + validation), "test": (train + validation, None)}
        start, end = ends["train" if split == "train" else self.held_out]
        yield self._data[start:end].decode("ascii")

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file and the split."""
        return hashlib.sha256(repr((self.sizes, self.held_out)).encode() + self._data).hexdigest()

    @cached_property
    def _data(self) -> bytes:
        """The whole file, after validation."""
        expected = f"text8, {sum(self.sizes):,} symbols of a to z and space"
        hint = "Unzip mattmahoney.net/dc/text8.zip."
        with open_regular(self.path, expected, field="data.path", hint=hint) as file:
            data = file.read(sum(self.sizes) + 1)
            size = file.seek(0, os.SEEK_END)
        refuse_pointer(data[:MAX_POINTER], self.path, field="data.path")
        if size != sum(self.sizes):
            raise InputError(f"{size:,} bytes", expected, file=self.path, field="data.path", hint=hint)
        if invalid := data.translate(None, SYMBOLS):
            place = data.index(invalid[:1])
            found = f"byte 0x{invalid[0]:02x} at offset {place:,}"
            raise InputError(found, expected, file=self.path, field="data.path")
        return data
