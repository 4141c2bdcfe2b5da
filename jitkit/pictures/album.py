"""Albums: a text as a folder of numbered PNGs that decode to the same bytes.

The images hold the tokens of the text, eos, and padding. `index.json` identifies the tokenizer, the codec, and the text.
Pictures and index appear together, or not at all. A power failure can damage pictures, which the text's hash reveals.
"""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from jitkit.data.compression import MAX_DOCUMENT
from jitkit.data.encoding import TextPlace, recoded
from jitkit.data.encoding_guess import guessed_hint
from jitkit.data.encoding_names import UTF8
from jitkit.documents.document import Count, Document, read_document, write_document
from jitkit.errors import InputError, UsageError, shown
from jitkit.filesystem import entries, exists, is_folder, read_stream
from jitkit.progress import Progress, silent
from jitkit.protocols import Codec, Tokenizer
from jitkit.storage.atomic import new_file
from jitkit.storage.atomic_folder import atomic_folder, undo_unfinished
from jitkit.storage.png import png_bytes, read_picture

INDEX = "index.json"
BATCH = 64  # pictures

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Index(Document):
    """The content of `index.json`."""

    format: Literal["jitkit.images.album/1"] = "jitkit.images.album/1"
    num_images: Annotated[int, Field(ge=1)]
    image_size: Annotated[int, Field(ge=1)]
    num_tokens: Count  # without eos and padding
    num_bytes: Count
    tokenizer: str  # fingerprint
    codec: Sha256  # fingerprint, see `_fingerprint`
    sha256: Sha256 | None  # of the text; null skips the check


def write_album(
    file: Path,
    folder: Path,
    tokenizer: Tokenizer,
    codec: Codec,
    *,
    encoding: str = UTF8,
    progress: Progress = silent,
) -> Index:
    """Write the text in `file` as an album into a new or empty `folder`. Another encoding becomes UTF-8.

    Raises InputError for an unreadable file, UsageError for a folder that is not empty, ResourceError if it cannot be
    written.
    """
    _require_empty(folder)
    data, text = _read_text(file, encoding)
    progress("tokenizing", 0, 0)
    tokens = tokenizer.encode(text)
    images = in_images(tokens, codec.capacity, tokenizer)
    index = Index(
        num_images=len(images),
        image_size=codec.image_size,
        num_tokens=len(tokens),
        num_bytes=len(data),
        tokenizer=tokenizer.fingerprint,
        codec=_fingerprint(codec),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    with atomic_folder(folder, last=INDEX) as new:
        for start in range(0, len(images), BATCH):
            for number, picture in enumerate(codec.encode_bytes(images[start : start + BATCH]), start):
                with new_file(new / _file_name(number), durable=False) as png:
                    png.write(png_bytes(picture))
            progress("writing images", min(start + BATCH, len(images)), len(images))
        write_document(new / INDEX, index)
        progress("writing to the disk", 0, 0)
    return index


def read_album(folder: Path, tokenizer: Tokenizer, codec: Codec, *, progress: Progress = silent) -> bytes:
    """Return the text of an album.

    Raises InputError for an album that is missing, damaged, incomplete, or written with another tokenizer or codec.
    """
    hint = "Write one with `jitkit encode FILE -m MODEL -o FOLDER`."
    if exists(folder) and not is_folder(folder):
        raise InputError("a file", "the folder of an album", file=folder, hint=hint)
    index = read_document(folder / INDEX, Index, expected="the index of an album", hint=hint)
    for field, found, expected in (
        ("image_size", index.image_size, codec.image_size),
        ("tokenizer", index.tokenizer, tokenizer.fingerprint),
        ("codec", index.codec, _fingerprint(codec)),
    ):
        if found != expected:
            hint = "Use the manifest or checkpoint that the pictures were written with."
            raise InputError(shown(found), shown(expected), file=folder / INDEX, field=field, hint=hint)
    parts = []
    for start in range(0, index.num_images, BATCH):
        stop = min(start + BATCH, index.num_images)
        pictures = [read_picture(folder / _file_name(number), codec.image_size) for number in range(start, stop)]
        parts.append(codec.decode_bytes(torch.stack(pictures)).flatten())
        progress("reading images", stop, index.num_images)
    ids = torch.cat(parts).tolist()
    if tokenizer.eos_id not in ids:
        raise InputError("no end-of-text token (eos) in the pictures", "one eos", file=folder)
    data = tokenizer.decode_bytes(ids[: ids.index(tokenizer.eos_id)])
    digest = hashlib.sha256(data).hexdigest()
    if index.sha256 not in (None, digest):
        hint = f"A picture has changed. To decode it anyway, set sha256 to null in {INDEX}."
        raise InputError(f"pictures of a text with SHA-256 {digest}", f"{index.sha256}", file=folder, hint=hint)
    return data


def _read_text(file: Path, encoding: str) -> tuple[bytes, str]:
    """Return all bytes of a text in UTF-8, also a byte order mark, and their text."""
    data = read_stream(file, limit=MAX_DOCUMENT, expected="a readable text file of at most 1 GiB")
    if encoding != UTF8:
        data = b"".join(recoded(BytesIO(data), TextPlace(str(file), encoding=encoding)))
    try:
        return data, data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at offset {error.start}"
        hint = guessed_hint(data, error.start, str(file))
        raise InputError(found, "UTF-8 text", file=file, hint=hint) from error


def in_images(tokens: list[int], capacity: int, tokenizer: Tokenizer) -> Tensor:
    """Return tokens, eos, and padding as whole images [N, L] int64."""
    num_images = len(tokens) // capacity + 1
    images = torch.full((num_images * capacity,), tokenizer.pad_id)
    images[: len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
    images[len(tokens)] = tokenizer.eos_id
    return images.view(num_images, capacity)


def _require_empty(folder: Path) -> None:
    if exists(folder):
        if not is_folder(folder):
            raise UsageError("a file", "a new or empty folder", file=folder)
        undo_unfinished(folder)
        if entries(folder):
            hint = "--out chooses another folder."
            raise UsageError("a folder that is not empty", "a new or empty folder", file=folder, hint=hint)


def _file_name(number: int) -> str:
    return f"{number:06d}.png"


def _fingerprint(codec: Codec) -> str:
    """Return the SHA-256 of the pictures of all ids, which identifies a codec."""
    digest = hashlib.sha256()
    for start in range(0, codec.vocab_size, codec.capacity):
        ids = torch.arange(start, start + codec.capacity).clamp(max=codec.vocab_size - 1)
        digest.update(codec.encode_bytes(ids[None]).numpy().tobytes())
    return digest.hexdigest()
