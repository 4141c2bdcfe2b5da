"""Damaging a file at random: as bytes, or inside of its container with correct checksums."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial

Mutation = Callable[[random.Random, bytes], bytes]
Convert = Callable[[bytes], bytes]

MEMBER_KINDS = b"\x000123467gxLKSXAV"  # the types of tar members
MEMBER_SIZES = (b"77777777777\0", b"00000000000\0", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-0000000001\0", b" " * 12)

NUMBERS = (b"0", b"-1", b"1e999999", b"nan", b"inf", b"9223372036854775808", b"4611686018427387904", b"1" * 400, b"0.5")
FRAGMENTS = (
    b"\0", b"\x1b[31mX", b"\x1b]0;title\x07", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", b"\r", b"\n",
    b"../../../escape", b"/absolute", b"[" * 3000, b"{" * 3000, b"a." * 3000, b'"', b"'''", b"#", b"=", b"[x]", b"[[x]]",
    b"\xe2\x80\xae", b"<script>", b":100:", b"true", b"null", b"\xed\xa0\x80", b"%s%n", b" " * 5000,
)  # fmt: skip


def flip_bit(rng: random.Random, content: bytes) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(rng: random.Random, content: bytes) -> bytes:
    """Cut off the end."""
    return content[: rng.randrange(len(content))]


def remove(rng: random.Random, content: bytes) -> bytes:
    """Remove a block."""
    start = rng.randrange(len(content))
    return content[:start] + content[start + _length(rng) :]


def repeat(rng: random.Random, content: bytes) -> bytes:
    """Repeat a block, up to a megabyte of it."""
    start = rng.randrange(len(content))
    block = content[start : start + _length(rng)]
    times = rng.choice((1, 2, 10, 1000, 20_000))
    return content[:start] + (block * times)[: 1 << 20] + content[start:]


def insert(rng: random.Random, content: bytes) -> bytes:
    """Insert a fragment that parsers stumble over."""
    start = rng.randrange(len(content) + 1)
    return content[:start] + rng.choice(FRAGMENTS) + content[start:]


def overwrite(rng: random.Random, content: bytes) -> bytes:
    """Overwrite a block with random bytes, zeros or ones."""
    start = rng.randrange(len(content))
    length = min(_length(rng), len(content) - start)
    block = rng.choice((rng.randbytes(length), bytes(length), b"\xff" * length))
    return content[:start] + block + content[start + length :]


def replace_number(rng: random.Random, content: bytes) -> bytes:
    """Replace a number that is written in digits."""
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", content[: 1 << 16]))
    if not numbers:
        return flip_bit(rng, content)
    match = rng.choice(numbers)
    return content[: match.start()] + rng.choice(NUMBERS) + content[match.end() :]


def swap_lines(rng: random.Random, content: bytes) -> bytes:
    """Swap, repeat or drop a line."""
    lines = content.split(b"\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one] = rng.choice((lines[other], b"", lines[one] + b"\n" + lines[other]))
    return b"\n".join(lines)


BYTES: tuple[Mutation, ...] = (flip_bit, truncate, remove, repeat, insert, overwrite)
TEXT: tuple[Mutation, ...] = (*BYTES, insert, replace_number, replace_number, swap_lines, swap_lines)


def mutate(rng: random.Random, content: bytes, mutations: tuple[Mutation, ...]) -> bytes:
    """Apply one to three mutations."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = rng.choice(mutations)(rng, content or b"\n")
    return content


def inside_zip(rng: random.Random, content: bytes) -> bytes:
    """Damage one member of a zip archive, or its name, and write the archive again with correct checksums."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    chosen = rng.randrange(len(members))
    if rng.random() < 0.5:  # the pickle decides what the other members mean
        chosen = next((i for i, (name, _) in enumerate(members) if name.endswith("data.pkl")), chosen)
    name, member = members[chosen]
    if rng.random() < 0.1:
        name = mutate(rng, name.encode(), TEXT).decode(errors="replace")[:200].replace("\0", "") or "x"
    members[chosen] = name, mutate(rng, member, TEXT)
    method = zipfile.ZIP_DEFLATED if rng.random() < 0.05 else zipfile.ZIP_STORED
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, member in members:
            archive.writestr(zipfile.ZipInfo(name), member, method)
    return target.getvalue()


def inside_safetensors(rng: random.Random, content: bytes) -> bytes:
    """Damage the header of a safetensors file and correct its length."""
    (length,) = struct.unpack("<Q", content[:8])
    header = mutate(rng, content[8 : 8 + length], TEXT)
    if rng.random() < 0.5:
        header = _changed_entry(rng, content[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def _changed_entry(rng: random.Random, header: bytes) -> bytes:
    """Change one value of a JSON header, which stays JSON."""
    document = json.loads(header)
    entry = document[rng.choice(list(document))]
    key = rng.choice(["dtype", "shape", "data_offsets"])
    entry[key] = rng.choice(["F64", "I4", None, [], [0, 0], [2**61, 1], [-1, 4], [0, 1 << 40], [2**31, 2**31, 4], {}])
    return json.dumps(document).encode()


def inside_png(rng: random.Random, content: bytes) -> bytes:
    """Damage a chunk of a PNG file and correct its length and checksum."""
    position, chunks = 8, []
    while position < len(content):
        (length,) = struct.unpack(">I", content[position : position + 4])
        chunks.append((content[position + 4 : position + 8], content[position + 8 : position + 8 + length]))
        position += 12 + length
    chosen = rng.randrange(len(chunks))
    kind, body = chunks[chosen]
    if kind == b"IHDR" and rng.random() < 0.5:
        sizes = (0, 1, 16, 1 << 14, (1 << 31) - 1)
        body = struct.pack(">II", rng.choice(sizes), rng.choice(sizes)) + body[8:]
    elif kind == b"IDAT" and rng.random() < 0.5:
        body = zlib.compress(mutate(rng, zlib.decompress(body), BYTES))
    else:
        body = mutate(rng, body, BYTES)
    chunks[chosen] = kind, body
    if rng.random() < 0.2:
        chunks.insert(rng.randrange(len(chunks)), rng.choice(chunks))
    packed = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return content[:8] + b"".join(packed)


def inside_tar(rng: random.Random, content: bytes) -> bytes:
    """Damage the header or the content of one member of a tar archive, and correct the checksum of the header."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [(info, archive.extractfile(info).read()) for info in archive if info.isreg()]  # type: ignore[union-attr]
    packed, chosen = [], rng.randrange(len(members))
    for number, (info, data) in enumerate(members):
        header = info.tobuf(tarfile.USTAR_FORMAT)
        if number == chosen and rng.random() < 0.5:
            header = _damaged_header(rng, header)
        elif number == chosen:
            data = mutate(rng, data, TEXT)
            info.size = len(data)
            header = info.tobuf(tarfile.USTAR_FORMAT)
        packed.append(header + data + bytes(-len(data) % tarfile.BLOCKSIZE))
    return b"".join(packed) + bytes(tarfile.BLOCKSIZE * rng.choice((0, 1, 2, 2, 2, 2)))


def _damaged_header(rng: random.Random, header: bytes) -> bytes:
    change = rng.randrange(3)
    if change == 0:
        header = mutate(rng, header, BYTES)[: tarfile.BLOCKSIZE].ljust(tarfile.BLOCKSIZE, b"\0")
    elif change == 1:
        header = header[:156] + bytes([rng.choice(MEMBER_KINDS)]) + header[157:]
    else:
        header = header[:124] + rng.choice(MEMBER_SIZES) + header[136:]
    checksum = b"%06o\0 " % tarfile.calc_chksums(header)[0]  # type: ignore[attr-defined]
    return header[:148] + checksum + header[156:]


def inside_parquet(rng: random.Random, content: bytes) -> bytes:
    """Damage the metadata at the end of a Parquet file, and correct their length."""
    (length,) = struct.unpack("<I", content[-8:-4])
    metadata = mutate(rng, content[-8 - length : -8], BYTES)
    return content[: -8 - length] + metadata + struct.pack("<I", len(metadata)) + content[-4:]


def repacked(rng: random.Random, content: bytes, *, unpack: Convert, damage: Mutation, pack: Convert) -> bytes:
    """Damage what a file contains, and pack it again."""
    return pack(damage(rng, unpack(content)))


def unzstd(content: bytes) -> bytes:
    """Return the content of a Zstandard file."""
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj().decompress(content)


def zstd(content: bytes) -> bytes:
    """Compress with Zstandard, with a checksum."""
    import zstandard

    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


_text = partial(mutate, mutations=TEXT)
_in_gzip = partial(repacked, unpack=gzip.decompress, pack=partial(gzip.compress, mtime=0))
_in_zstd = partial(repacked, unpack=unzstd, pack=zstd)
inside_gzip, inside_tar_gzip = (partial(_in_gzip, damage=damage) for damage in (_text, inside_tar))
inside_zstd, inside_tar_zstd = (partial(_in_zstd, damage=damage) for damage in (_text, inside_tar))


def _length(rng: random.Random) -> int:
    return rng.choice((1, 2, 4, 8, 64, 1024))
