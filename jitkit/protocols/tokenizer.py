"""Text to ids and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jitkit.files import Files


class Tokenizer(Protocol):
    """Ids in [0, vocab_size), including eos and pad.

    Requirements: `decode(encode(text)) == text` for every text without lone surrogates, including ""; every id is below
    `vocab_size`; `encode` never returns eos or pad, whatever the text contains; equal fingerprints mean equal behavior.
    """

    @property
    def vocab_size(self) -> int:
        """Number of ids, including eos and pad."""

    @property
    def eos_id(self) -> int:
        """Id that ends a document."""

    @property
    def pad_id(self) -> int:
        """Id that fills an image after the end."""

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that `encode` and `decode` depend on."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without eos."""

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Return the bytes of `ids`; eos and pad have none."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`: the joined bytes as UTF-8, with U+FFFD for each undecodable sequence."""

    def files(self) -> Mapping[str, bytes]:
        """Return the files that a checkpoint must embed to rebuild the tokenizer elsewhere (names as in the manifest)."""


@runtime_checkable
class TokenizerComponent(Protocol):
    """Settings of a tokenizer: the table `[tokenizer]`.

    A component with a class attribute `file_suffix` (".tiktoken") has a field `file` and opens files with this suffix.
    """

    name: ClassVar[str]

    def build(self, files: Files) -> Tokenizer:
        """Return the tokenizer; `files` resolves names. Raises InputError for a missing or damaged file."""
