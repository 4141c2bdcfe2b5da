"""The reference documentation that ships with Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from jitkit.component import Component
from jitkit.data.split import SplitDocuments
from jitkit.files import Files


class PythonDocsSource(Component):
    """Python's built-in documentation (`pydoc_data`), one document per topic: English text available on every machine."""

    name: ClassVar[str] = "python-docs"

    validation_fraction: float = Field(
        0.05, gt=0, le=0.5, description="fraction of the characters to hold out, by document"
    )

    def build(self, files: Files) -> SplitDocuments:
        """Return the source. The text differs slightly between Python versions."""
        return SplitDocuments(_topics, self.validation_fraction, origin="pydoc_data.topics")


def _topics() -> Iterator[str]:
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield topics[name]
