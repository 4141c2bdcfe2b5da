"""Stories of a probabilistic grammar."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field

from jitkit.component import Component
from jitkit.files import Files
from jitkit_plugins.grammar.grammar import Grammar
from jitkit_plugins.grammar.reading import TALES, read_grammar
from jitkit_plugins.grammar.stories import SOURCE, Stories


class GrammarSource(Component):
    """Stories of a probabilistic grammar (.toml), one per document, as many as needed; without a path, the tales of jitkit."""

    name: ClassVar[str] = SOURCE
    reads_paths: ClassVar[bool] = True  # `path` may name a file from the command line
    path_suffixes: ClassVar[tuple[str, ...]] = (".toml",)

    path: str = Field("", description='a grammar file; default: "tales", very short stories in simple English')
    start: str = Field(
        "", description="the rule that stories begin with. Default: the first one. Of the tales: short, medium, long"
    )
    stories: int = Field(50_000, ge=2, le=10**9, description="stories to draw, for training and to hold out")
    validation_fraction: float = Field(
        0.01, gt=0, le=0.5, description="fraction of the stories to hold out, by the hash of their text"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the stories")

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a source of short tales."""
        del folder
        return cls(stories=60, validation_fraction=0.2)

    def grammar(self, files: Files) -> Grammar:
        """Return the grammar. Raises ManifestError for an invalid one."""
        return read_grammar(files.path(self.path, field="data.path") if self.path else TALES, self.start)

    def build(self, files: Files) -> Stories:
        """Return the source. Raises ManifestError for an invalid grammar."""
        return Stories(self.grammar(files), self.seed, self.stories, self.validation_fraction)
