"""Codewords from a file written by `jitkit codec fit` or any other tool."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import torch
from pydantic import Field

from jitkit.codecs.codebook import codebook_bytes, parse_codebook
from jitkit.codecs.image_codec import ImageCodec
from jitkit.codecs.layout import Layout
from jitkit.component import Component
from jitkit.files import WORKING_FOLDER, Files


class Table(Component):
    """Codewords from a picture with one row per token: semantic (`codec fit`) or custom."""

    name: ClassVar[str] = "table"

    file: str = Field(description="8-bit RGB PNG next to the manifest; row i holds the pixels of token i")
    layout: Layout = Field("patch-major", description="order in which tokens fill the image")

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a codec for 258 tokens of two random pixels each, with its file in `folder`."""
        words = torch.randint(256, (258, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
        path = folder / "tiny.png"
        path.write_bytes(codebook_bytes(words, ""))
        return cls(file=str(path))

    def build(self, vocab_size: int, image_size: int, patch_size: int, files: Files = WORKING_FOLDER) -> ImageCodec:
        """Return the codec. A file embedded in a checkpoint takes precedence over the disk."""
        data = files.read(self.file, field="codec.file")
        origin = self.file if self.file in files.embedded else files.path(self.file, field="codec.file")
        stored = parse_codebook(data, vocab_size, file=origin)
        return ImageCodec(
            stored.codebook,
            self.layout,
            image_size,
            patch_size,
            files={self.file: data},
            tokenizer_fingerprint=stored.tokenizer_fingerprint,
        )
