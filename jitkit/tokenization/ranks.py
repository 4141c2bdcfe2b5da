"""The `.tiktoken` format: one piece per line, ``base64(bytes) rank``, where lower ranks merge first.

tiktoken's own reader caches local files by path (so it misses that a file has changed), accepts gaps, and crashes the
process on duplicates. Files are therefore read and checked here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from jitkit.errors import InputError, counted, shown
from jitkit.storage.git_lfs import refuse_pointer

MAX_RANKS = 1_000_000
MAX_FILE = 64 << 20  # bytes
MAX_PIECE = 4096  # bytes

# The alternatives of o200k_base: words in any script, with one preceding character and an English contraction, split where
# the case changes; up to three digits; punctuation with following line ends; white space.
PATTERN = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
"""Default regular expression that splits text before pieces are merged."""


def format_ranks(pieces: Sequence[bytes]) -> bytes:
    """Return the contents of a `.tiktoken` file for `pieces`, ordered by rank."""
    return b"".join(b"%s %d\n" % (base64.b64encode(piece), rank) for rank, piece in enumerate(pieces))


def parse_ranks(data: bytes, file: object) -> tuple[bytes, ...]:
    """Return the pieces of a `.tiktoken` file, ordered by their ranks 0, 1, ...

    Raises InputError, naming `file` and the line, for a repeated piece or rank, a missing rank and a missing single byte.
    """
    if len(data) > MAX_FILE:
        raise InputError(counted(len(data), "byte"), f"at most {MAX_FILE}", file=file)
    refuse_pointer(data, file)
    lines = data.splitlines()
    if not any(lines):
        raise InputError("an empty file", "lines 'base64 rank'", file=file)
    if len(lines) > MAX_RANKS:
        raise InputError(counted(len(lines), "line"), f"at most {MAX_RANKS}", file=file)
    ranked: dict[int, bytes] = {}
    line_of: dict[bytes, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        piece, rank = _entry(line, file, number)
        if piece in line_of:
            raise InputError(f"{shown(piece)} again", f"it only on line {line_of[piece]}", file=file, line=number)
        if rank in ranked:
            first = line_of[ranked[rank]]
            raise InputError(f"rank {rank} again", f"it only on line {first}", file=file, line=number)
        ranked[rank] = piece
        line_of[piece] = number
    return _complete(ranked, file)


def _entry(line: bytes, file: object, number: int) -> tuple[bytes, int]:
    fields = line.split()
    if len(fields) != 2:
        raise InputError(f"line {shown(line)}", "'base64 rank'", file=file, line=number)
    try:
        piece = base64.b64decode(fields[0], validate=True)
    except binascii.Error as error:
        raise InputError(shown(fields[0]), "bytes in base64", file=file, line=number) from error
    if not 1 <= len(piece) <= MAX_PIECE:
        raise InputError(f"a piece of {counted(len(piece), 'byte')}", f"1 to {MAX_PIECE} bytes", file=file, line=number)
    if not (fields[1].isdigit() and len(fields[1]) <= 9):
        raise InputError(f"rank {shown(fields[1])}", "an integer >= 0", file=file, line=number)
    return piece, int(fields[1])


def _complete(ranked: dict[int, bytes], file: object) -> tuple[bytes, ...]:
    gap = next((rank for rank in range(len(ranked)) if rank not in ranked), None)
    if gap is not None:
        raise InputError(f"no rank {gap}", f"every rank from 0 to {max(ranked)}", file=file)
    present = {piece[0] for piece in ranked.values() if len(piece) == 1}
    absent = sorted(set(range(256)) - present)
    if absent:
        found = f"{len(present)} of 256 single bytes (0x{absent[0]:02x} is missing)"
        raise InputError(found, "all 256", file=file, field="bytes")
    return tuple(ranked[rank] for rank in range(len(ranked)))
