"""The stories of a grammar as training text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from jitkit.data.split import document_hash
from jitkit.errors import InputError, counted
from jitkit.protocols.data_source import Split
from jitkit_plugins.grammar.grammar import Grammar
from jitkit_plugins.grammar.sampling import stories

SOURCE = "grammar"  # the name of the data source that draws them


@dataclass(frozen=True)
class Stories:
    """Stories of a grammar, drawn again on each reading. A story is held out by its hash, so equal ones stay together."""

    grammar: Grammar
    seed: int
    num: int
    validation_fraction: float

    def documents(self, split: Split) -> Iterator[str]:
        """Yield the stories of a split, in the order in which they are drawn. Raises InputError if there are none."""
        empty = True
        for text in islice(stories(self.grammar, self.seed), self.num):
            held_out = document_hash(text) < self.validation_fraction * 2**64
            if text and held_out == (split == "validation"):
                empty = False
                yield text
        if empty:
            found = f"{counted(self.num, 'story')}, none of them in the {split} split"
            hint = "Draw more stories, change the fraction, or let the grammar write more different ones."
            raise InputError(found, "at least one", field="data.validation_fraction", hint=hint)

    def fingerprint(self) -> str:
        """Return the SHA-256 of everything that decides which stories are drawn."""
        return hashlib.sha256(repr(self).encode()).hexdigest()
