"""PNG files of token images: written plainly, read strictly.

A codec needs every byte of a picture, so only one form is accepted: an 8-bit RGB PNG (or RGBA, wholly opaque), not
interlaced, of the exact size. The file is walked chunk by chunk and inflated within its limit before Pillow sees it, and
Pillow sees the pixels only, so neither a false size nor a text or profile that unpacks to gigabytes does any harm.
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

from jitkit.errors import InputError, RefusedError, shown

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIZE = 4096  # pixels a side; larger claims are refused as unsafe
COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGBA"}
CHANNELS = {2: 3, 6: 4}
OTHER_FORMATS = {b"\xff\xd8\xff": "a JPEG", b"GIF8": "a GIF", b"RIFF": "a WebP", b"BM": "a BMP", b"II*": "a TIFF"}


def png_bytes(picture: Tensor, notes: Mapping[str, str] | None = None) -> bytes:
    """Return the PNG file of a picture [H, W, 3] uint8; `notes` lie in it as text."""
    file, info = io.BytesIO(), PngInfo()
    for name, text in (notes or {}).items():
        info.add_text(name, text)
    Image.fromarray(picture.cpu().numpy()).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def read_picture(path: Path, image_size: int) -> Tensor:
    """Return the picture [image_size, image_size, 3] uint8 in a PNG file.

    Raises InputError for a file that is missing, damaged or of another form, RefusedError for an absurd size.
    """
    try:
        return _decoded(_read(path, image_size), image_size, image_size)
    except _Unfit as unfit:
        raise unfit.kind(
            unfit.found, unfit.expected or f"an 8-bit RGB PNG of {image_size}x{image_size} pixels", file=path
        ) from unfit


def parse_picture(data: bytes, *, height: int, file: object, expected: str) -> Tensor:
    """Return the picture [height, W, 3] uint8 in the bytes of a PNG file, of whatever width.

    Raises InputError for bytes that are damaged or of another form, RefusedError for an absurd size; the error names
    `file` and what was `expected`.
    """
    try:
        return _decoded(data, None, height)
    except _Unfit as unfit:
        raise unfit.kind(unfit.found, unfit.expected or expected, file=file) from unfit


def read_note(data: bytes, name: str) -> str | None:
    """Return the text that lies under `name` in the bytes of a PNG file that was parsed; None where there is none."""
    for chunk, content in _chunks(data):
        key, _, text = content.partition(b"\0")
        if chunk == b"tEXt" and key == name.encode("latin-1"):
            return text.decode("latin-1")
    return None


class _Unfit(Exception):
    """What is wrong with a file; the caller knows its name and what was expected."""

    def __init__(
        self, found: str, expected: str = "", kind: type[InputError] | type[RefusedError] = InputError
    ) -> None:
        super().__init__(found)
        self.found, self.expected, self.kind = found, expected, kind


def _read(path: Path, image_size: int) -> bytes:
    limit = 8 * image_size * image_size + 2**20  # twice the pixels with alpha, and room for what editors add
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise _Unfit((error.strerror or str(error)).lower()) from error
    if len(data) > limit:
        raise _Unfit(f"more than {limit} bytes", kind=RefusedError)
    return data


def _decoded(data: bytes, width: int | None, height: int) -> Tensor:
    chunks = list(_chunks(data))
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise _Unfit("a PNG without a header")
    colour, width = _checked_header(chunks[0][1], width, height)
    names = [name for name, _ in chunks]
    strange = [name for name in names[1:] if name[:1].isupper() and name not in {b"PLTE", b"IDAT", b"IEND"}]
    if strange or b"tRNS" in names:
        raise _Unfit(f"a chunk {shown((strange or [b'tRNS'])[0].decode('latin-1'))}")
    pixels = b"".join(content for name, content in chunks if name == b"IDAT")
    _check_length(pixels, height * (1 + CHANNELS[colour] * width))
    bare = [(b"IHDR", chunks[0][1]), (b"IDAT", pixels), (b"IEND", b"")]
    return _opaque(_open(SIGNATURE + b"".join(_chunk(name, content) for name, content in bare)))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of each chunk up to IEND; checksums hold, and nothing follows."""
    if not data:
        raise _Unfit("an empty file")
    if not data.startswith(SIGNATURE):
        other = [name for magic, name in OTHER_FORMATS.items() if data.startswith(magic)]
        raise _Unfit(f"{other[0]} file" if other else f"a file that begins with {shown(data[:8])}")
    at, name = len(SIGNATURE), b""
    while name != b"IEND":
        if len(data) < at + 12:
            raise _Unfit(f"a file cut off after {len(data)} bytes")
        length, name = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if len(data) < end:
            raise _Unfit(f"a file cut off after {len(data)} bytes")
        content = data[at + 8 : end - 4]
        if zlib.crc32(name + content) != int.from_bytes(data[end - 4 : end], "big"):
            raise _Unfit(f"chunk {shown(name.decode('latin-1'))} with a wrong checksum (the file is damaged)")
        yield name, content
        at = end
    if at != len(data):
        raise _Unfit(f"{len(data) - at} bytes after the end of the picture")


def _checked_header(header: bytes, expected_width: int | None, expected_height: int) -> tuple[int, int]:
    """Return the colour type that a header declares, 2 or 6, and its width, any from 1 to MAX_SIZE where None is expected."""
    fields: tuple[int, ...] = struct.unpack(">IIBBBBB", header)
    width, height, depth, colour, compression, filters, interlace = fields
    wide_enough = 0 < width <= MAX_SIZE if expected_width is None else width == expected_width
    if not wide_enough or height != expected_height:
        kind = RefusedError if max(width, height) > max(MAX_SIZE, expected_height) else InputError
        size = "" if expected_width is None else f"{expected_width}x{expected_height}"
        raise _Unfit(f"{width}x{height} pixels", size, kind)
    if depth != 8 or colour not in CHANNELS:
        article = "an" if depth == 8 else "a"
        raise _Unfit(f"{article} {depth}-bit {COLOURS.get(colour, f'colour type {colour}')} PNG")
    if compression or filters:
        raise _Unfit(f"compression {compression} and filter method {filters}")
    if interlace:
        raise _Unfit("an interlaced PNG", "one that is not interlaced")
    return colour, width


def _check_length(pixels: bytes, expected: int) -> None:
    """Raise unless the compressed pixels inflate to exactly `expected` bytes; never inflates more than one beyond."""
    inflater = zlib.decompressobj()
    try:
        length = len(inflater.decompress(pixels, expected + 1))
    except zlib.error as error:
        raise _Unfit("pixels that cannot be inflated (the file is damaged)") from error
    if length != expected:
        found = "more pixels than the header says" if length > expected else f"{length} of {expected} bytes of pixels"
        raise _Unfit(found)
    if not inflater.eof or inflater.unused_data:
        raise _Unfit("a stream of pixels without its end, or with something after it")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _open(data: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            return np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise _Unfit("pixels that Pillow cannot read (the file is damaged)") from error


def _opaque(pixels: np.ndarray) -> Tensor:
    if pixels.shape[2] == 4 and (pixels[:, :, 3] != 255).any():
        raise _Unfit("transparent pixels", "an opaque picture")
    return torch.from_numpy(np.ascontiguousarray(pixels[:, :, :3]))
