"""Byte-pair encoding with tiktoken: a published encoding, or the ranks in a local file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from jitkit.component import Component
from jitkit.data.tokenize import text_chunks
from jitkit.errors import InputError, ManifestError, first_line, shown
from jitkit.files import Files
from jitkit.output import quiet_libraries
from jitkit.tokenization.ranks import PATTERN, format_ranks, parse_ranks
from jitkit_plugins.tokenizers.pieces import PieceTokenizer
from jitkit_plugins.tokenizers.published import PUBLISHED, EncodingName, read_published

# A pattern must not drop characters: all characters of the common scripts, and a few of the others.
_PROBE = "".join(map(chr, [*range(0x3100), 0x4E00, 0xAC00, 0xE000, 0xFFFD, 0x10000, 0x1F600, 0x10FFFF]))


class TiktokenTokenizer(Component):
    """Byte-pair encoding with tiktoken: a published encoding by name, or a local `.tiktoken` file."""

    name: ClassVar[str] = "tiktoken"
    file_suffix: ClassVar[str] = ".tiktoken"

    file: str | None = Field(None, description="local `.tiktoken` file, relative to the manifest")
    encoding: EncodingName | None = Field(
        None, description="published encoding; downloaded once, then read from the cache"
    )
    pattern: str | None = Field(
        None, min_length=1, max_length=4096, description="regular expression that splits text before pieces are merged"
    )

    @model_validator(mode="before")
    @classmethod
    def _spell_out_the_pattern(cls, options: Any) -> Any:
        """Fill in the default `pattern`, so that a resolved manifest contains everything the ids depend on."""
        if not isinstance(options, dict) or options.get("pattern") is not None:
            return options
        published = PUBLISHED.get(options["encoding"]) if isinstance(options.get("encoding"), str) else None
        return {**options, "pattern": published.pattern if published else PATTERN}

    @model_validator(mode="after")
    def _require_one_origin(self) -> Self:
        if (self.file is None) == (self.encoding is None):
            found = "neither file nor encoding" if self.file is None else "both file and encoding"
            raise ValueError(f"file: found {found}; expected one of them")
        return self

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a tokenizer with 256 bytes and a few merges, whose file is written to `folder`."""
        pieces = [bytes([byte]) for byte in range(256)] + [b"th", b"the", b" t", b" the", "é".encode()]
        path = folder / "tiny.tiktoken"
        path.write_bytes(format_ranks(pieces))
        return cls(file=str(path))

    def build(self, files: Files) -> PieceTokenizer:
        """Return the tokenizer. A file embedded in a checkpoint takes precedence over disk and network.

        Raises InputError for a missing or damaged file, ResourceError for a published encoding that is neither cached nor
        available, ManifestError for a pattern that is invalid or drops text.
        """
        if self.file is not None:
            name, data = self.file, files.read(self.file, field="tokenizer.file")
            origin: object = name if name in files.embedded else files.path(name, field="tokenizer.file")
        else:
            assert self.encoding is not None  # by validation
            name, origin = f"{self.encoding}.tiktoken", self.encoding
            data = (
                files.embedded[name]
                if name in files.embedded
                else read_published(PUBLISHED[self.encoding], self.encoding)
            )
        pieces = parse_ranks(data, origin)
        assert self.pattern is not None  # by validation
        return PieceTokenizer(pieces, _merger(pieces, self.pattern), rule=self.pattern, embedded={name: data})


def _merger(pieces: tuple[bytes, ...], pattern: str) -> Callable[[str], list[int]]:
    """Return the function that splits text by `pattern` and merges bytes by rank."""
    import tiktoken

    ranks = {piece: rank for rank, piece in enumerate(pieces)}
    try:
        encoding = tiktoken.Encoding("jitkit", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    except ValueError as error:
        found = f"pattern {shown(pattern)} ({first_line(error)})"
        raise ManifestError(found, "a regular expression", field="tokenizer.pattern") from error

    known = pattern in {PATTERN, *(published.pattern for published in PUBLISHED.values())}
    quiet = nullcontext if known else quiet_libraries  # a known pattern never backtracks too much

    def merge(text: str) -> list[int]:
        ids: list[int] = []
        for chunk in text_chunks(text):
            try:
                with quiet():
                    ids += encoding.encode_ordinary(chunk)
            except BaseException as error:
                if type(error).__name__ != "PanicException":  # raised by tiktoken's Rust code; cannot be imported
                    raise
                found = "text that exceeds the limits of the regular expression"
                raise InputError(found, "a pattern without deep backtracking", field="tokenizer.pattern") from error
        return ids

    probed = b"".join(pieces[rank] for rank in merge(_PROBE))
    if probed != _PROBE.encode():
        found, hint = f"pattern {shown(pattern)}, which drops characters", "Append |\\s+|\\S to keep the rest."
        raise ManifestError(found, "a pattern that matches all text", field="tokenizer.pattern", hint=hint)
    return merge
