"""Reading and writing PNG files of token images.

A codec needs exact pixels, so only 8-bit RGB (or fully opaque RGBA) PNGs are accepted, not interlaced and of the exact size.
The chunks are parsed and inflated within limits here, and Pillow receives only the pixels. Files with a wrong size or with
metadata that inflates to gigabytes are therefore harmless.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from jitkit.errors import InputError, RefusedError, io_reason, shown

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIZE = 4096  # pixels per side; larger sizes are refused as unsafe
COLORS = {0: "grayscale", 2: "RGB", 3: "palette", 4: "grayscale with alpha", 6: "RGBA"}
CHANNELS = {2: 3, 6: 4}
OTHER_FORMATS = {b"\xff\xd8\xff": "a JPEG", b"GIF8": "a GIF", b"RIFF": "a WebP", b"BM": "a BMP", b"II*": "a TIFF"}


def png_bytes(picture: Tensor, notes: Mapping[str, str] | None = None) -> bytes:
    """Return a picture [H, W, 3] uint8 as a PNG file, with `notes` as text chunks."""
    file, info = io.BytesIO(), PngInfo()
    for name, text in (notes or {}).items():
        info.add_text(name, text)
    Image.fromarray(picture.cpu().numpy()).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def read_picture(path: Path, image_size: int) -> Tensor:
    """Return the picture [image_size, image_size, 3] uint8 in a PNG file.

    Raises InputError for a file that is missing, damaged or in another format, RefusedError for an excessive size.
    """
    try:
        return _decoded(_read(path, image_size), image_size, image_size)
    except _InvalidPng as invalid:
        raise invalid.kind(
            invalid.found, invalid.expected or f"an 8-bit RGB PNG of {image_size}x{image_size} pixels", file=path
        ) from invalid


def parse_picture(data: bytes, *, height: int, file: object, expected: str) -> Tensor:
    """Return the picture [height, W, 3] uint8 in the bytes of a PNG file of any width.

    `file` and `expected` are for error messages. Raises InputError for bytes that are damaged or in another format,
    RefusedError for an excessive size.
    """
    try:
        return _decoded(data, None, height)
    except _InvalidPng as invalid:
        raise invalid.kind(invalid.found, invalid.expected or expected, file=file) from invalid


def read_note(data: bytes, name: str) -> str | None:
    """Return the text chunk `name` of a PNG file that `parse_picture` accepted, or None."""
    for chunk, content in _chunks(data):
        key, _, text = content.partition(b"\0")
        if chunk == b"tEXt" and key == name.encode("latin-1"):
            return text.decode("latin-1")
    return None


class _InvalidPng(Exception):
    """A problem with a file; the caller adds the file name and the default for `expected`."""

    def __init__(
        self, found: str, expected: str = "", kind: type[InputError] | type[RefusedError] = InputError
    ) -> None:
        super().__init__(found)
        self.found, self.expected, self.kind = found, expected, kind


def _read(path: Path, image_size: int) -> bytes:
    limit = 8 * image_size * image_size + 2**20  # twice the RGBA pixels, plus metadata
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise _InvalidPng(io_reason(error)) from error
    if len(data) > limit:
        raise _InvalidPng(f"more than {limit} bytes", kind=RefusedError)
    return data


def _decoded(data: bytes, width: int | None, height: int) -> Tensor:
    chunks = list(_chunks(data))
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise _InvalidPng("a PNG without a header")
    color, width = _checked_header(chunks[0][1], width, height)
    names = [name for name, _ in chunks]
    strange = [name for name in names[1:] if name[:1].isupper() and name not in {b"PLTE", b"IDAT", b"IEND"}]
    if strange or b"tRNS" in names:
        raise _InvalidPng(f"a chunk {shown((strange or [b'tRNS'])[0].decode('latin-1'))}")
    pixels = b"".join(content for name, content in chunks if name == b"IDAT")
    _check_length(pixels, height * (1 + CHANNELS[color] * width))
    bare = [(b"IHDR", chunks[0][1]), (b"IDAT", pixels), (b"IEND", b"")]
    return _opaque(_open(SIGNATURE + b"".join(_chunk(name, content) for name, content in bare)))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of each chunk through IEND, with valid checksums and no bytes after it."""
    if not data:
        raise _InvalidPng("an empty file")
    if not data.startswith(SIGNATURE):
        other = [name for magic, name in OTHER_FORMATS.items() if data.startswith(magic)]
        raise _InvalidPng(f"{other[0]} file" if other else f"a file that begins with {shown(data[:8])}")
    at, name = len(SIGNATURE), b""
    while name != b"IEND":
        if len(data) < at + 12:
            raise _InvalidPng(f"a file truncated after {len(data)} bytes")
        length, name = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if len(data) < end:
            raise _InvalidPng(f"a file truncated after {len(data)} bytes")
        content = data[at + 8 : end - 4]
        if zlib.crc32(name + content) != int.from_bytes(data[end - 4 : end], "big"):
            raise _InvalidPng(f"chunk {shown(name.decode('latin-1'))} with a wrong checksum (the file is damaged)")
        yield name, content
        at = end
    if at != len(data):
        raise _InvalidPng(f"{len(data) - at} bytes after the end of the picture")


def _checked_header(header: bytes, expected_width: int | None, expected_height: int) -> tuple[int, int]:
    """Return the color type (2 or 6) and the width in a header. An expected width of None allows 1 to MAX_SIZE."""
    fields: tuple[int, ...] = struct.unpack(">IIBBBBB", header)
    width, height, depth, color, compression, filters, interlace = fields
    valid_width = 0 < width <= MAX_SIZE if expected_width is None else width == expected_width
    if not valid_width or height != expected_height:
        kind = RefusedError if max(width, height) > max(MAX_SIZE, expected_height) else InputError
        size = "" if expected_width is None else f"{expected_width}x{expected_height}"
        raise _InvalidPng(f"{width}x{height} pixels", size, kind)
    if depth != 8 or color not in CHANNELS:
        article = "an" if depth == 8 else "a"
        raise _InvalidPng(f"{article} {depth}-bit {COLORS.get(color, f'color type {color}')} PNG")
    if compression or filters:
        raise _InvalidPng(f"compression {compression} and filter method {filters}")
    if interlace:
        raise _InvalidPng("an interlaced PNG", "a PNG without interlacing")
    return color, width


def _check_length(pixels: bytes, expected: int) -> None:
    """Raise unless the compressed pixels inflate to exactly `expected` bytes. Inflates at most one byte more."""
    inflater = zlib.decompressobj()
    try:
        length = len(inflater.decompress(pixels, expected + 1))
    except zlib.error as error:
        raise _InvalidPng("pixels that cannot be decompressed (the file is damaged)") from error
    if length != expected:
        found = (
            "more pixels than the header declares" if length > expected else f"{length} of {expected} bytes of pixels"
        )
        raise _InvalidPng(found)
    if not inflater.eof or inflater.unused_data:
        raise _InvalidPng("an unterminated pixel stream, or data after it")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _open(data: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            return np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise _InvalidPng("pixels that Pillow cannot read (the file is damaged)") from error


def _opaque(pixels: np.ndarray) -> Tensor:
    if pixels.shape[2] == 4 and (pixels[:, :, 3] != 255).any():
        raise _InvalidPng("transparent pixels", "an opaque picture")
    return torch.from_numpy(np.ascontiguousarray(pixels[:, :, :3]))
