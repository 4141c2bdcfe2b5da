"""Text to ids and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jitkit.files import Files


class Tokenizer(Protocol):
    """Ids in [0, vocab_size), eos and pad among them.

    Laws: `decode(encode(text)) == text` for every text without lone surrogates, "" included; every id is below
    `vocab_size`; `encode` never yields eos or pad, whatever the text says; equal fingerprints mean equal behaviour.
    """

    @property
    def vocab_size(self) -> int:
        """Number of ids, eos and pad included."""
        ...

    @property
    def eos_id(self) -> int:
        """Id that ends a document."""
        ...

    @property
    def pad_id(self) -> int:
        """Id that fills an image after the end."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that `encode` and `decode` depend on."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without eos."""
        ...

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Return the bytes of `ids`; eos and pad stand for nothing."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`: the joined bytes as UTF-8, each undecodable part as U+FFFD."""
        ...

    def files(self) -> Mapping[str, bytes]:
        """Return the files that a checkpoint must embed so that `build` works elsewhere (name as in the manifest)."""
        ...


@runtime_checkable
class TokenizerComponent(Protocol):
    """Settings of a tokenizer: the table `[tokenizer]`."""

    name: ClassVar[str]

    def build(self, files: Files) -> Tokenizer:
        """Return the tokenizer; `files` resolves names. Raises InputError for a missing or damaged file."""
        ...
