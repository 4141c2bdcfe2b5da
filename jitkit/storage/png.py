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
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from jitkit.errors import InputError, JitkitError, RefusedError, shown
from jitkit.filesystem import read_bytes
from jitkit.storage.git_lfs import refuse_pointer

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
    expected = f"an 8-bit RGB PNG of {image_size}x{image_size} pixels"
    limit = 8 * image_size * image_size + 2**20  # twice the RGBA pixels, plus metadata
    data = read_bytes(path, limit=limit, expected=expected, too_large=RefusedError)
    with _errors_in(path, expected):
        return _decoded(data, image_size, image_size)


def parse_picture(data: bytes, *, height: int, file: object, expected: str) -> Tensor:
    """Return the picture [height, W, 3] uint8 in the bytes of a PNG file of any width.

    `file` and `expected` are for error messages. Raises InputError for bytes that are damaged or in another format,
    RefusedError for an excessive size.
    """
    with _errors_in(file, expected):
        return _decoded(data, None, height)


def read_note(data: bytes, name: str) -> str | None:
    """Return the text chunk `name` of a PNG file that `parse_picture` accepted, or None."""
    for chunk, content in _chunks(data):
        key, _, text = content.partition(b"\0")
        if chunk == b"tEXt" and key == name.encode("latin-1"):
            return text.decode("latin-1")
    return None


@contextmanager
def _errors_in(file: object, expected: str) -> Iterator[None]:
    """Add the file, and what was expected if an error does not state it, to errors raised inside the block."""
    try:
        yield
    except JitkitError as error:
        (problem,) = error.problems
        raise type(error)(problem.found, problem.expected or expected, file=file, hint=problem.hint) from error


def _decoded(data: bytes, width: int | None, height: int) -> Tensor:
    chunks = list(_chunks(data))
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise InputError("a PNG without a header")
    color, width = _checked_header(chunks[0][1], width, height)
    names = [name for name, _ in chunks]
    strange = [name for name in names[1:] if name[:1].isupper() and name not in {b"PLTE", b"IDAT", b"IEND"}]
    if strange or b"tRNS" in names:
        raise InputError(f"a chunk {shown((strange or [b'tRNS'])[0].decode('latin-1'))}")
    pixels = b"".join(content for name, content in chunks if name == b"IDAT")
    _check_length(pixels, height * (1 + CHANNELS[color] * width))
    bare = [(b"IHDR", chunks[0][1]), (b"IDAT", pixels), (b"IEND", b"")]
    return rgb_pixels(SIGNATURE + b"".join(starmap(_chunk, bare)))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of each chunk through IEND, with valid checksums and no bytes after it."""
    if not data:
        raise InputError("an empty file")
    refuse_pointer(data, None)
    if not data.startswith(SIGNATURE):
        other = [name for magic, name in OTHER_FORMATS.items() if data.startswith(magic)]
        raise InputError(f"{other[0]} file" if other else f"a file that begins with {shown(data[:8])}")
    at, name = len(SIGNATURE), b""
    while name != b"IEND":
        if len(data) < at + 12:
            raise InputError(f"a file truncated after {len(data)} bytes")
        length, name = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if len(data) < end:
            raise InputError(f"a file truncated after {len(data)} bytes")
        content = data[at + 8 : end - 4]
        if zlib.crc32(name + content) != int.from_bytes(data[end - 4 : end], "big"):
            raise InputError(f"chunk {shown(name.decode('latin-1'))} with a wrong checksum (the file is damaged)")
        yield name, content
        at = end
    if at != len(data):
        raise InputError(f"{len(data) - at} bytes after the end of the picture")


def _checked_header(header: bytes, expected_width: int | None, expected_height: int) -> tuple[int, int]:
    """Return the color type (2 or 6) and the width in a header. An expected width of None allows 1 to MAX_SIZE."""
    fields: tuple[int, ...] = struct.unpack(">IIBBBBB", header)
    width, height, depth, color, compression, filters, interlace = fields
    valid_width = width == expected_width if expected_width else 0 < width <= MAX_SIZE
    if not valid_width or height != expected_height:
        kind = RefusedError if max(width, height) > max(MAX_SIZE, expected_height) else InputError
        size = f"{expected_width}x{expected_height}" if expected_width else ""
        raise kind(f"{width}x{height} pixels", size)
    if depth != 8 or color not in CHANNELS:
        article = "an" if depth == 8 else "a"
        raise InputError(f"{article} {depth}-bit {COLORS.get(color, f'color type {color}')} PNG")
    if compression or filters:
        raise InputError(f"compression {compression} and filter method {filters}")
    if interlace:
        raise InputError("an interlaced PNG", "a PNG without interlacing")
    return color, width


def _check_length(pixels: bytes, expected: int) -> None:
    """Raise unless the compressed pixels inflate to exactly `expected` bytes. Inflates at most one byte more."""
    inflater = zlib.decompressobj()
    try:
        length = len(inflater.decompress(pixels, expected + 1))
    except zlib.error as error:
        raise InputError("pixels that cannot be decompressed (the file is damaged)") from error
    if length > expected:
        raise InputError("more pixels than the header declares")
    if length < expected:
        raise InputError(f"{length} of {expected} bytes of pixels")
    if not inflater.eof or inflater.unused_data:
        raise InputError("an unterminated pixel stream, or data after it")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def rgb_pixels(data: bytes) -> Tensor:
    """Return the pixels [H, W, 3] uint8 of a PNG file in color whose header is sound, such as one of jitkit's own.

    Raises InputError if it cannot be read or is transparent.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            pixels = np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError("pixels that Pillow cannot read (the file is damaged)") from error
    if pixels.shape[2] == 4 and (pixels[:, :, 3] != 255).any():
        raise InputError("transparent pixels", "an opaque picture")
    return torch.from_numpy(np.ascontiguousarray(pixels[:, :, :3]))
