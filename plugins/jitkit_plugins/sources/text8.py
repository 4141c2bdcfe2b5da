"""The text8 protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from jitkit.component import Component
from jitkit.errors import InputError
from jitkit.files import Files
from jitkit.protocols.data_source import Split

SYMBOLS = b"abcdefghijklmnopqrstuvwxyz "


class Text8Source(Component):
    """The file text8 that you have: 27 symbols, the first 90M for training, then 5M for validation and 5M for the test."""

    name: ClassVar[str] = "text8"

    path: Annotated[str, Field(min_length=1, description="the unpacked file, 100,000,000 bytes")]
    held_out: Annotated[
        Literal["validation", "test"], Field(description="which of the two is held out; the other is not read")
    ] = "validation"
    sizes: Annotated[
        tuple[int, int, int],
        Field(description="symbols of training, validation and test; others than these are not the protocol"),
    ] = (90_000_000, 5_000_000, 5_000_000)

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return one over a short file, written into `folder`."""
        (folder / "text8").write_bytes(b" anarchism originated as a term of abuse first used against early working" * 3)
        return cls(path=str(folder / "text8"), sizes=(120, 50, 49))

    def build(self, files: Files) -> Text8:
        """Return the source. Raises InputError for a file of another size or with other symbols."""
        path = files.path(self.path, field="data.path")
        return Text8(path, self.sizes, self.held_out)


@dataclass(frozen=True)
class Text8:
    """Two documents, one a split, cut where the protocol says."""

    path: Path
    sizes: tuple[int, int, int]
    held_out: Literal["validation", "test"]

    def documents(self, split: Split) -> Iterator[str]:
        """Yield the one document of a split."""
        train, validation, test = self.sizes
        data = self._data
        if split == "train":
            yield data[:train].decode("ascii")
        elif self.held_out == "validation":
            yield data[train : train + validation].decode("ascii")
        else:
            yield data[train + validation : train + validation + test].decode("ascii")

    def fingerprint(self) -> str:
        """Return the SHA-256 of file and split."""
        return hashlib.sha256(repr((self.sizes, self.held_out)).encode() + self._data).hexdigest()

    @cached_property
    def _data(self) -> bytes:
        """The whole file, checked."""
        expected = f"text8, {sum(self.sizes):,} symbols of a to z and space"
        hint = "It is mattmahoney.net/dc/text8.zip, unpacked."
        try:
            size = self.path.stat().st_size
            if size != sum(self.sizes):
                raise InputError(f"{size:,} bytes", expected, file=self.path, field="data.path", hint=hint)
            data = self.path.read_bytes()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(reason, expected, file=self.path, field="data.path", hint=hint) from error
        if strange := data.translate(None, SYMBOLS):
            place = data.index(strange[:1])
            raise InputError(
                f"byte 0x{strange[0]:02x} at offset {place:,}", expected, file=self.path, field="data.path"
            )
        return data
