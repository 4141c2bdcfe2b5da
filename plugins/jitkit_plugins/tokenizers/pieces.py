"""A tokenizer with a byte string for each id."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from jitkit.errors import InputError


@dataclass(frozen=True)
class PieceTokenizer:
    """Id i < P is `pieces[i]`; P is eos and P + 1 is pad, which both decode to nothing.

    `merge` returns the ids of the pieces of a text. `rule` identifies how it does that, for the fingerprint.
    """

    pieces: tuple[bytes, ...] = field(repr=False)
    merge: Callable[[str], list[int]]
    rule: str
    embedded: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def eos_id(self) -> int:
        """The first id after the pieces."""
        return len(self.pieces)

    @property
    def pad_id(self) -> int:
        """The id after eos."""
        return len(self.pieces) + 1

    @property
    def vocab_size(self) -> int:
        """Number of pieces, plus eos and pad."""
        return len(self.pieces) + 2

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the pieces and the rule."""
        digest = hashlib.sha256(self.rule.encode())
        for piece in self.pieces:
            digest.update(len(piece).to_bytes(4, "little") + piece)
        return digest.hexdigest()

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without eos. Raises InputError for a lone surrogate, which UTF-8 cannot encode."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            found = f"lone surrogate U+{ord(text[error.start]):04X} at character {error.start}"
            raise InputError(found, "text that UTF-8 can encode") from error
        return self.merge(text)

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Return the bytes of `ids`. Raises InputError for an id outside [0, vocab_size)."""
        if len(ids) and not (min(ids) >= 0 and max(ids) < self.vocab_size):
            raise InputError(f"ids from {min(ids)} to {max(ids)}", f"ids from 0 to {self.vocab_size - 1}")
        return b"".join(map(self._bytes_of_id.__getitem__, ids))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`. Invalid UTF-8 becomes U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def files(self) -> Mapping[str, bytes]:
        """Return the files to embed in a checkpoint."""
        return self.embedded

    @cached_property
    def _bytes_of_id(self) -> tuple[bytes, ...]:
        return (*self.pieces, b"", b"")
