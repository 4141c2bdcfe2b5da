"""Conformance tests of tokenizers."""

from __future__ import annotations

from pathlib import Path

from jitkit.files import Files
from jitkit.protocols import Tokenizer, TokenizerComponent
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
    """`decode(encode(text)) == text` for any text, and `decode_bytes` returns its UTF-8 bytes."""
    tokenizer = _built(component)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text, f"{text[:40]!r} decodes to {tokenizer.decode(ids)[:40]!r}"
        assert tokenizer.decode_bytes(ids) == text.encode(), f"wrong bytes for {text[:40]!r}"


def ids_are_valid(component: TokenizerComponent) -> None:
    """Every id of a text is below `vocab_size`, and none is eos or pad, whatever the text contains."""
    tokenizer = _built(component)
    for text in TEXTS:
        for token in tokenizer.encode(text):
            assert 0 <= token < tokenizer.vocab_size, f"id {token} with vocab_size {tokenizer.vocab_size}"
            assert token not in {tokenizer.eos_id, tokenizer.pad_id}, f"{text[:40]!r} yields eos or pad"


def eos_and_pad_are_distinct_and_empty(component: TokenizerComponent) -> None:
    """eos and pad are two different ids of the vocabulary, and have no bytes."""
    tokenizer = _built(component)
    marks = (tokenizer.eos_id, tokenizer.pad_id)
    assert len({*marks}) == 2, f"eos and pad are both {tokenizer.eos_id}"
    assert all(0 <= mark < tokenizer.vocab_size for mark in marks), f"eos and pad {marks} are outside the vocabulary"
    ids = tokenizer.encode("a b")
    assert tokenizer.decode_bytes([*ids, *marks]) == b"a b", "eos or pad has bytes"


def every_id_decodes(component: TokenizerComponent) -> None:
    """Every id can be decoded alone and next to any other, because a model may output them in any order."""
    tokenizer = _built(component)
    ids = range(tokenizer.vocab_size)
    together = tokenizer.decode_bytes(ids)
    alone = b"".join(tokenizer.decode_bytes([token]) for token in ids)
    assert together == alone, "the bytes of an id depend on its neighbors"
    assert tokenizer.decode(list(reversed(ids))) is not None


def equal_settings_behave_equally(component: TokenizerComponent) -> None:
    """Two builds of the same settings have the same fingerprint and return the same ids."""
    one, other = _built(component), _built(component)
    assert one.fingerprint == other.fingerprint, "the fingerprint changes from one build to the next"
    assert all(one.encode(text) == other.encode(text) for text in TEXTS), "the ids change from one build to the next"


def embedded_files_suffice(component: TokenizerComponent) -> None:
    """The result of `files()` is enough to build the same tokenizer without any other files."""
    tokenizer = _built(component)
    elsewhere = component.build(Files(Path("an-absent-folder"), embedded=dict(tokenizer.files())))
    assert elsewhere.fingerprint == tokenizer.fingerprint, "rebuilt from its embedded files, it has another fingerprint"


def _built(component: TokenizerComponent) -> Tokenizer:
    return component.build(files_of(component))
