"""Strict PNG reading: an invalid picture is a one-line error and does no harm."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from jitkit.codecs.image_codec import to_image, to_pictures
from jitkit.errors import InputError, RefusedError
from jitkit.storage.png import png_bytes, read_picture

SIZE = 16
PICTURE = torch.randint(256, (SIZE, SIZE, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
PNG = png_bytes(PICTURE)


def saved(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None, **options) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, rows: bytes, *, interlace: int = 0, extra: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlace))
    return PNG[:8] + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


ROWS = (b"\0" + bytes(3 * SIZE)) * SIZE
RGBA = np.dstack([PICTURE.numpy(), np.full((SIZE, SIZE), 255, np.uint8)])
GLASS = np.dstack([PICTURE.numpy(), np.full((SIZE, SIZE), 254, np.uint8)])
WIDE = np.zeros((SIZE, SIZE), np.uint16)

WRONG = {
    "empty": (b"", "an empty file"),
    "text": (b"hello, world", "a file that begins with b'hello, w'"),
    "JPEG": (saved(PICTURE.numpy(), "JPEG"), "a JPEG file"),
    "GIF": (saved(PICTURE.numpy(), "GIF"), "a GIF file"),
    "WebP": (saved(PICTURE.numpy(), "WEBP"), "a WebP file"),
    "cut in the pixels": (PNG[: len(PNG) // 2], "a file truncated after"),
    "cut at the end": (PNG[:-1], "a file truncated after"),
    "without an end": (PNG[:-12], "a file truncated after"),
    "cut in the header": (PNG[:20], "a file truncated after 20 bytes"),
    "bad checksum": (PNG[:60] + bytes([PNG[60] ^ 1]) + PNG[61:], "chunk 'IDAT' with a wrong checksum"),
    "one row": (png(SIZE, SIZE, ROWS[: 3 * SIZE + 1]), "49 of 784 bytes of pixels"),
    "a row too many": (png(SIZE, SIZE, ROWS + ROWS), "more pixels than the header declares"),
    "bad filter": (png(SIZE, SIZE, ROWS.replace(b"\0" * 49, b"\x07" + bytes(48), 1)), "pixels that Pillow cannot read"),
    "no size": (png(0, 0, b""), "0x0 pixels; expected 16x16"),
    "wrong size": (png_bytes(PICTURE[:8, :8]), "8x8 pixels; expected 16x16"),
    "wrong height": (png_bytes(PICTURE[:8]), "16x8 pixels; expected 16x16"),
    "16 bit": (saved(WIDE), "a 16-bit grayscale PNG; expected an 8-bit RGB PNG of 16x16 pixels"),
    "palette": (saved(PICTURE.numpy(), mode="P"), "an 8-bit palette PNG"),
    "grayscale": (saved(PICTURE.numpy()[:, :, 0]), "an 8-bit grayscale PNG"),
    "bits": (saved(PICTURE.numpy()[:, :, 0], mode="1"), "a 1-bit grayscale PNG"),
    "transparent": (saved(GLASS), "transparent pixels"),
    "transparent color": (saved(PICTURE.numpy(), transparency=(0, 0, 0)), "a chunk 'tRNS'"),
    "interlaced": (png(SIZE, SIZE, ROWS, interlace=1), "an interlaced PNG"),
    "after the end": (PNG + b"more", "4 bytes after the end of the picture"),
    "no header": (PNG[:8] + chunk(b"IEND", b""), "a PNG without a header"),
    "no pixels": (PNG[:33] + chunk(b"IEND", b""), "0 of 784 bytes of pixels"),
    "strange chunk": (png(SIZE, SIZE, ROWS, extra=chunk(b"EVIL", b"")), "a chunk 'EVIL'"),
    "no deflate": (PNG[:33] + chunk(b"IDAT", b"zzzz") + chunk(b"IEND", b""), "pixels that cannot be decompressed"),
}

ABSURD = {
    "10,000 pixels": (png(10_000, 10_000, b"\0" + bytes(30_000)), "10000x10000 pixels; expected 16x16"),
    "20,000 pixels": (png(20_000, 20_000, b""), "20000x20000 pixels"),
    "2**31 - 1 pixels": (png(2**31 - 1, 2**31 - 1, b""), "2147483647x2147483647 pixels"),
    "a large file": (PNG + bytes(2**21), "more than 1050624 bytes"),
}


def test_a_written_picture_reads_equal(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    assert torch.equal(read_picture(path, SIZE), PICTURE)
    with Image.open(path) as image:
        assert image.mode == "RGB"


@pytest.mark.parametrize("case", WRONG)
def test_an_invalid_picture_is_a_one_line_error(tmp_path: Path, case: str) -> None:
    data, found = WRONG[case]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_picture(path, SIZE)
    assert str(caught.value).startswith(f"{path}: found {found}")
    assert "; expected " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ABSURD)
def test_excessive_sizes_are_refused(tmp_path: Path, case: str) -> None:
    data, found = ABSURD[case]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(RefusedError, match=found):
        read_picture(path, SIZE)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.png: found no such file"):
        read_picture(tmp_path / "none.png", SIZE)
    with pytest.raises(InputError, match="found a folder"):
        read_picture(tmp_path, SIZE)


def test_metadata_of_editors_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    notes = PngImagePlugin.PngInfo()
    notes.add_text("comment", "x" * 2**23, zip=True)  # 8 MiB of text in a few kB: never unpacked
    for data in (saved(RGBA), saved(PICTURE.numpy(), pnginfo=notes, compress_level=9, icc_profile=b"profile")):
        path.write_bytes(data)
        assert torch.equal(read_picture(path, SIZE), PICTURE)


@given(place=st.integers(0, len(PNG) - 1), change=st.integers(1, 255))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_changed_byte_is_detected(tmp_path: Path, place: int, change: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG[:place] + bytes([PNG[place] ^ change]) + PNG[place + 1 :])
    with pytest.raises((InputError, RefusedError)):
        read_picture(path, SIZE)


def test_numbers_round_to_the_nearest_byte_and_never_wrap() -> None:
    numbers = torch.tensor([-9.0, -1, -1 + 0.49 / 127.5, -1 + 0.51 / 127.5, 0, 1 - 0.51 / 127.5, 1, 9])
    image = numbers.view(1, 1, 1, 8).expand(1, 3, 1, 8)
    assert to_pictures(image)[0, 0, :, 0].tolist() == [0, 0, 0, 1, 128, 254, 255, 255]
    every = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(-1, -1, -1, 3)
    assert torch.equal(to_pictures(to_image(every)), every)
