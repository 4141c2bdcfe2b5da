"""Conformance tests of tokenizers."""

from __future__ import annotations

from pathlib import Path

from jitkit.files import Files
from jitkit.protocols import TokenizerComponent
from jitkit.testing.conformance import files_of

TEXTS = (
    "",
    "a",
    "The quick brown fox, it's 1234567 years old!\n",
    "\r\n\t  \n   trailing spaces   \r",
    "\0\x01\x1b[31mred\x7f\x80\x9f",
    "\ufeffbyte order mark inside",
    "naïve café, cafe\u0301, ﬁ ² Å",
    "שלום עולם \u202eright to left\u202c مرحبا",
    "世界人权宣言 すべての人間は 모든 인간은 มนุษย์ทั้งหลาย",
    "👨‍👩‍👧‍👦 🏳️‍🌈 \U0010ffff \ue000 \ufffe \u0378",
    "<|endoftext|><|pad|></s>[PAD]<eos>",
    "x" * 5000 + " " * 5000 + "\n" * 5000,
)
"""Texts that have broken tokenizers."""


def round_trip_is_exact(component: TokenizerComponent) -> None:
    """`decode(encode(text)) == text` for any text, and `decode_bytes` returns its UTF-8 bytes; ids are never eos or pad."""
    tokenizer = component.build(files_of(component))
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text, f"{text[:40]!r} decodes to {tokenizer.decode(ids)[:40]!r}"
        assert tokenizer.decode_bytes(ids) == text.encode(), f"wrong bytes for {text[:40]!r}"
        assert all(0 <= token < tokenizer.vocab_size for token in ids), f"{text[:40]!r} yields an id out of range"
        assert not {*ids} & {tokenizer.eos_id, tokenizer.pad_id}, f"{text[:40]!r} yields eos or pad"


def every_id_decodes(component: TokenizerComponent) -> None:
    """Every id can be decoded alone and next to any other; eos and pad are two different ids without bytes."""
    tokenizer = component.build(files_of(component))
    marks = (tokenizer.eos_id, tokenizer.pad_id)
    assert len({*marks}) == 2, f"eos and pad are both {tokenizer.eos_id}"
    assert all(0 <= mark < tokenizer.vocab_size for mark in marks), f"eos and pad {marks} are outside the vocabulary"
    assert tokenizer.decode_bytes([*tokenizer.encode("a b"), *marks]) == b"a b", "eos or pad has bytes"
    ids = range(tokenizer.vocab_size)
    alone = b"".join(tokenizer.decode_bytes([token]) for token in ids)
    assert tokenizer.decode_bytes(ids) == alone, "the bytes of an id depend on its neighbors"
    assert tokenizer.decode(list(reversed(ids))) is not None


def builds_are_equal(component: TokenizerComponent) -> None:
    """Two builds have the same fingerprint and ids, even if one has only the embedded result of `files()`."""
    tokenizer, again = component.build(files_of(component)), component.build(files_of(component))
    rebuilt = component.build(Files(Path("an-absent-folder"), embedded=dict(tokenizer.files())))
    for name, other in (("a second build", again), ("a build from embedded files", rebuilt)):
        assert tokenizer.fingerprint == other.fingerprint, f"{name} has another fingerprint"
        assert all(tokenizer.encode(text) == other.encode(text) for text in TEXTS), f"{name} returns other ids"
