"""Continuations of prompts: the model fills one image after the other, given the end of the text so far."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from jitkit.pipeline import KnownTokens, Pipeline
from jitkit.protocols import Tokenizer


@dataclass
class Continuation:
    """A prompt, and the tokens generated after it so far."""

    prompt: list[int]
    until: Sequence[str]  # the text ends before the first of these
    max_tokens: int
    seed: tuple[int, ...]
    tokens: list[int] = field(default_factory=list)
    ended: bool = False

    def given(self, length: int) -> list[int]:
        """Return the last tokens, which the next image of `length` tokens starts with.

        The rest of the image is for new tokens: as many as are missing, but at most half an image if the text so far is long.
        """
        tokens = self.prompt + self.tokens
        room = min(self.max_tokens - len(self.tokens), max(1, length // 2))
        return tokens[max(0, len(tokens) - length + room) :]

    def extend(self, tokens: list[int], tokenizer: Tokenizer) -> None:
        """Append the generated tokens up to the first eos, at most `max_tokens` in all."""
        new = tokens[: self.max_tokens - len(self.tokens)]
        if tokenizer.eos_id in new:
            new, self.ended = new[: new.index(tokenizer.eos_id)], True
        self.tokens += new
        text = tokenizer.decode(self.tokens)
        self.ended |= len(self.tokens) == self.max_tokens or any(stop in text for stop in self.until)

    def text(self, tokenizer: Tokenizer) -> str:
        """Return the generated text, up to the first stop sequence."""
        text = tokenizer.decode(self.tokens)
        return text[: min((text.index(stop) for stop in self.until if stop in text), default=len(text))]

    def noise_seed(self) -> int:
        """Return the seed of the next image's noise. It depends on this continuation only."""
        words = repr((self.seed, self.prompt, len(self.tokens)))
        return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "little") >> 1


def complete(
    pipeline: Pipeline, continuations: Sequence[Continuation], *, steps: int | None = None, batch_size: int = 16
) -> list[str]:
    """Generate until every continuation has ended, and return their texts. Each depends on its own seed only.

    Raises InputError if there is a prompt and the model does not accept known tokens.
    """
    size = pipeline.images_at_once(batch_size)
    while open_ones := [one for one in continuations if not one.ended and one.max_tokens > 0]:
        for group in (
            [one for one in open_ones if has_any == bool(one.prompt or one.tokens)] for has_any in (True, False)
        ):
            for start in range(0, len(group), size):
                _fill_image(pipeline, group[start : start + size], steps)
    return [one.text(pipeline.tokenizer) for one in continuations]


def _fill_image(pipeline: Pipeline, batch: Sequence[Continuation], steps: int | None) -> None:
    """Generate one image for each continuation. Either all have tokens to start with, or none has."""
    length, pad = pipeline.codec.capacity, pipeline.tokenizer.pad_id
    given = [one.given(length) for one in batch]
    rows = torch.tensor([ids + [pad] * (length - len(ids)) for ids in given])
    mask = torch.arange(length) < torch.tensor([len(ids) for ids in given])[:, None]
    known = KnownTokens(rows, mask) if mask.any() else None
    tokens, _ = pipeline.sample([one.noise_seed() for one in batch], known=known, steps=steps)
    for one, ids, row in zip(batch, given, tokens.tolist(), strict=True):
        one.extend(row[len(ids) :], pipeline.tokenizer)
