"""What every tokenizer must keep."""

from __future__ import annotations

from pathlib import Path

from jitkit.files import Files
from jitkit.protocols import Tokenizer, TokenizerComponent
from jitkit.testing.conformance import ConformanceTest
from jitkit.testing.tiny_files import files_of

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
    """`decode(encode(text)) == text` for any text, and the bytes are those of UTF-8."""
    tokenizer = _built(component)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text, f"{text[:40]!r} came back as {tokenizer.decode(ids)[:40]!r}"
        assert tokenizer.decode_bytes(ids) == text.encode(), f"other bytes than those of {text[:40]!r}"


def ids_are_valid(component: TokenizerComponent) -> None:
    """Every id of a text is below `vocab_size`, and none is eos or pad, whatever the text says."""
    tokenizer = _built(component)
    for text in TEXTS:
        for token in tokenizer.encode(text):
            assert 0 <= token < tokenizer.vocab_size, f"id {token} of {text[:40]!r}; vocab_size {tokenizer.vocab_size}"
            assert token not in {tokenizer.eos_id, tokenizer.pad_id}, f"{text[:40]!r} yields eos or pad"


def eos_and_pad_are_two_ids_without_text(component: TokenizerComponent) -> None:
    """eos and pad are two different ids of the vocabulary, and stand for no text."""
    tokenizer = _built(component)
    marks = (tokenizer.eos_id, tokenizer.pad_id)
    assert len({*marks}) == 2, f"eos and pad are both {tokenizer.eos_id}"
    assert all(0 <= mark < tokenizer.vocab_size for mark in marks), f"eos, pad {marks}: outside the vocabulary"
    ids = tokenizer.encode("a b")
    assert tokenizer.decode_bytes([*ids, *marks]) == b"a b", "eos or pad stands for text"


def every_id_decodes(component: TokenizerComponent) -> None:
    """Every id can be decoded, alone and beside any other: a model may yield them in any order."""
    tokenizer = _built(component)
    ids = range(tokenizer.vocab_size)
    together = tokenizer.decode_bytes(ids)
    alone = b"".join(tokenizer.decode_bytes([token]) for token in ids)
    assert together == alone, "the bytes of an id depend on its neighbours"
    assert tokenizer.decode(list(reversed(ids))) is not None


def equal_settings_behave_equally(component: TokenizerComponent) -> None:
    """Two tokenizers of the same settings have one fingerprint and yield the same ids."""
    one, other = _built(component), _built(component)
    assert one.fingerprint == other.fingerprint, "the fingerprint changes from one build to the next"
    assert all(one.encode(text) == other.encode(text) for text in TEXTS), "the ids change from one build to the next"


def embedded_files_suffice(component: TokenizerComponent) -> None:
    """What `files()` returns is enough to build the same tokenizer where nothing else is."""
    tokenizer = _built(component)
    elsewhere = component.build(Files(Path("an-absent-folder"), embedded=dict(tokenizer.files())))
    assert elsewhere.fingerprint == tokenizer.fingerprint, "rebuilt from its embedded files it is another tokenizer"


def _built(component: TokenizerComponent) -> Tokenizer:
    return component.build(files_of(component))


CONFORMANCE_TESTS: tuple[ConformanceTest, ...] = (
    round_trip_is_exact,
    ids_are_valid,
    eos_and_pad_are_two_ids_without_text,
    every_id_decodes,
    equal_settings_behave_equally,
    embedded_files_suffice,
)
