"""`.tiktoken` files round-trip, and errors name the line."""

import base64
import random

import hypothesis.strategies as st
import pytest
from hypothesis import given

from jitkit.errors import InputError
from jitkit.tokenization import ranks
from jitkit.tokenization.ranks import format_ranks, parse_ranks

BYTES = [bytes([byte]) for byte in range(256)]


def line(piece: bytes, rank: object) -> bytes:
    return base64.b64encode(piece) + f" {rank}\n".encode()


WHOLE = format_ranks([*BYTES, b"th", b"the"])


@given(st.lists(st.binary(min_size=2, max_size=20), max_size=20, unique=True), st.randoms())
def test_a_file_round_trips_in_any_order_of_lines(merges: list[bytes], chance: random.Random) -> None:
    pieces = (*merges, *BYTES)
    lines = format_ranks(pieces).splitlines(keepends=True)
    chance.shuffle(lines)
    assert parse_ranks(b"".join(lines), "x") == pieces
    assert parse_ranks(b"\r\n".join(line.strip() for line in lines) + b"\r\n\r\n", "x") == pieces


FAULTS = {
    "empty": (b"", "t.tiktoken: found an empty file; expected lines 'base64 rank'"),
    "blank": (b"\n\n", "t.tiktoken: found an empty file"),
    "one field": (WHOLE + b"dGhl\n", "t.tiktoken:259: found line b'dGhl'; expected 'base64 rank'"),
    "three fields": (WHOLE + b"dGhl 1 2\n", "t.tiktoken:259: found line"),
    "no base64": (b"!!! 0\n" + WHOLE, "t.tiktoken:1: found b'!!!'; expected bytes in base64"),
    "bad padding": (b"dGh 0\n" + WHOLE, "t.tiktoken:1: found b'dGh'; expected bytes in base64"),
    "text rank": (WHOLE + line(b"tha", "x"), "t.tiktoken:259: found rank b'x'; expected an integer >= 0"),
    "negative rank": (WHOLE + line(b"tha", -1), "t.tiktoken:259: found rank b'-1'"),
    "float rank": (WHOLE + line(b"tha", 258.0), "t.tiktoken:259: found rank b'258.0'"),
    "endless rank": (WHOLE + line(b"tha", "9" * 5000), "t.tiktoken:259: found rank"),
    "gap": (WHOLE + line(b"tha", 259), "t.tiktoken: found no rank 258; expected every rank from 0 to 259"),
    "rank twice": (WHOLE + line(b"tha", 257), "t.tiktoken:259: found rank 257 again; expected it only on line 258"),
    "piece twice": (WHOLE + line(b"th", 258), "t.tiktoken:259: found b'th' again; expected it only on line 257"),
    "byte absent": (
        format_ranks([piece for piece in BYTES if piece != b"z"]),
        "t.tiktoken: bytes: found 255 of 256 single bytes (0x7a is missing); expected all 256",
    ),
    "empty piece": (WHOLE + b" 258\n", "t.tiktoken:259: found line"),
    "long piece": (WHOLE + line(b"x" * 5000, 258), "t.tiktoken:259: found a piece of 5,000 bytes"),
    "html": (b"<html><body>404</body></html>", "t.tiktoken:1: found line b'<html>"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_error_names_the_line(fault: str) -> None:
    data, sentence = FAULTS[fault]
    with pytest.raises(InputError) as caught:
        parse_ranks(data, "t.tiktoken")
    assert str(caught.value).startswith(sentence)


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_file_with_one_changed_byte_is_valid_or_refused(place: int, byte: int) -> None:
    data = WHOLE[:place] + bytes([byte]) + WHOLE[place + 1 :]
    try:
        pieces = parse_ranks(data, "x")
    except InputError:
        return
    assert {*BYTES} <= {*pieces}
    assert len({*pieces}) == len(pieces)


def test_a_git_lfs_pointer_is_no_vocabulary() -> None:
    with pytest.raises(InputError, match=r"^t\.tiktoken: found a Git LFS pointer.*`git lfs pull`"):
        parse_ranks(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n", "t.tiktoken")


def test_a_million_ranks_are_the_limit() -> None:
    with pytest.raises(InputError, match=r"found 1,?000,?001 lines; expected at most 1,?000,?000"):
        parse_ranks(b"YQ== 0\n" * 1_000_001, "x")


def test_oversized_files_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(ranks, "MAX_RANKS", 257)
    with pytest.raises(InputError, match="found 258 lines; expected at most 257"):
        parse_ranks(WHOLE, "x")
    monkeypatch.setattr(ranks, "MAX_FILE", 100)
    with pytest.raises(InputError, match="expected at most 100"):
        parse_ranks(WHOLE, "x")
