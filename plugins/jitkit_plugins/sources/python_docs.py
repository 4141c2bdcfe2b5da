"""The reference texts that come with Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from jitkit.component import Component
from jitkit.data.split import SplitDocuments
from jitkit.files import Files


class PythonDocsSource(Component):
    """The reference texts inside Python's own `pydoc_data`: English that is on every machine, a topic a document."""

    name: ClassVar[str] = "python-docs"

    validation_fraction: Annotated[
        float, Field(gt=0, le=0.5, description="share of the characters that is held out, by document")
    ] = 0.05

    def build(self, files: Files) -> SplitDocuments:
        """Return the source; it reads no file. The texts differ a little between versions of Python."""
        return SplitDocuments(_topics, self.validation_fraction, origin="pydoc_data.topics")


def _topics() -> Iterator[str]:
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield topics[name]
