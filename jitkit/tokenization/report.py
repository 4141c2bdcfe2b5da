"""Statistics of a tokenizer on texts, for comparing vocabularies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jitkit.data.tokenize import text_chunks
from jitkit.protocols import Tokenizer

_SAMPLE_SIZE = 24  # pieces


def report(tokenizer: Tokenizer, texts: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Return the properties of the vocabulary and the statistics of each text, as plain values."""
    pieces = [tokenizer.decode_bytes([token]) for token in range(tokenizer.vocab_size)]
    longest = max(pieces, key=len)
    return {
        "vocab_size": tokenizer.vocab_size,
        "eos_id": tokenizer.eos_id,
        "pad_id": tokenizer.pad_id,
        "fingerprint": tokenizer.fingerprint,
        "longest_piece": _escaped(longest),
        "longest_piece_bytes": len(longest),
        "pieces_not_utf8_alone": sum(piece.decode(errors="ignore").encode() != piece for piece in pieces),
        "texts": [{"name": name, **_statistics(tokenizer, documents)} for name, documents in texts.items()],
    }


def _statistics(tokenizer: Tokenizer, documents: Iterable[str]) -> dict[str, Any]:
    """Return the sizes in UTF-8 bytes and in tokens without eos, whether decoding returns every text, and a sample."""
    num_documents = num_characters = num_bytes = num_tokens = 0
    exact = True
    sample: list[str] = []
    for document in documents:
        num_documents += 1
        for text in text_chunks(document):
            ids = tokenizer.encode(text)
            exact = exact and tokenizer.decode(ids) == text
            num_characters += len(text)
            num_bytes += len(text.encode())
            num_tokens += len(ids)
            sample = sample or [_escaped(tokenizer.decode_bytes([token])) for token in ids[:_SAMPLE_SIZE]]
    return {
        "documents": num_documents,
        "characters": num_characters,
        "bytes": num_bytes,
        "tokens": num_tokens,
        "bytes_per_token": round(num_bytes / max(num_tokens, 1), 4),
        "tokens_per_character": round(num_tokens / max(num_characters, 1), 4),
        "round_trip": exact,
        "sample": sample,
    }


def _escaped(piece: bytes) -> str:
    """Return the text of a piece, with bytes that are not UTF-8 escaped."""
    return piece.decode(errors="backslashreplace")
