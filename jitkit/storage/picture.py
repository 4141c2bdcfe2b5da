"""A token image as a value: its exact pixels, as a PNG file, and enlarged for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from jitkit.storage.atomic import write_file
from jitkit.storage.png import png_bytes

VISIBLE = 256  # pixels; the least width at which a notebook shows a picture


@dataclass(frozen=True, repr=False, eq=False)
class Picture:
    """The pixels [H, W, 3] uint8 of a token image, or of a film strip.

    Notebooks show it enlarged; `save` and `png` keep every pixel.
    """

    pixels: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def enlarged(self, factor: int) -> Picture:
        """Return the picture with each pixel as a square of `factor` by `factor` pixels."""
        return Picture(self.pixels.repeat_interleave(factor, 0).repeat_interleave(factor, 1))

    def visible(self) -> Picture:
        """Return the picture, enlarged by a whole factor to at least 256 pixels if it is smaller."""
        return self.enlarged(max(1, -(-VISIBLE // self.size[0])))

    def png(self) -> bytes:
        """Return the PNG file of the exact pixels."""
        return png_bytes(self.pixels)

    def image(self) -> Image.Image:
        """Return the exact pixels as a Pillow image."""
        return Image.fromarray(self.pixels.numpy())

    def save(self, path: str | Path) -> None:
        """Write the exact pixels as a PNG file. Raises ResourceError if it cannot be written."""
        write_file(Path(path), self.png())

    def __repr__(self) -> str:
        return f"Picture({self.size[0]}x{self.size[1]})"

    def _repr_png_(self) -> bytes:
        return self.visible().png()
