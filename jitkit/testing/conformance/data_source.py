"""Conformance tests of data sources."""

from __future__ import annotations

import re
from itertools import islice
from typing import get_args

from jitkit.protocols import DataSource, DataSourceComponent, Split
from jitkit.testing.conformance import files_of

NUM = 1000  # documents of a split that are checked


def iteration_is_repeatable(component: DataSourceComponent) -> None:
    """`documents` yields the same documents in the same order each time, also after rebuilding the source."""
    source, other = _built(component), _built(component)
    for split in get_args(Split):
        first = _documents(source, split)
        assert first == _documents(source, split), f"a second iteration of {split} differs"
        assert first == _documents(other, split), f"{split} differs after rebuilding"


def concurrent_iterations_are_independent(component: DataSourceComponent) -> None:
    """Concurrent iterations do not affect each other."""
    source = _built(component)
    for split in get_args(Split):
        left, right = source.documents(split), source.documents(split)
        first = next(left)
        assert next(right) == first, "a second iteration continues the first one"


def splits_are_apart(component: DataSourceComponent) -> None:
    """No document is in both splits."""
    source = _built(component)
    shared = {*_documents(source, "train")} & {*_documents(source, "validation")}
    assert not shared, f"{next(iter(shared))[:40]!r} is in both splits"


def splits_have_text(component: DataSourceComponent) -> None:
    """Each split has a document; no document is empty or contains lone surrogates."""
    source = _built(component)
    for split in get_args(Split):
        documents = _documents(source, split)
        assert documents, f"{split} has no document"
        assert all(documents), f"{split} has an empty document"
        for text in documents:
            text.encode()


def fingerprint_is_stable(component: DataSourceComponent) -> None:
    """The fingerprint is a hex digest and the same after rebuilding the source."""
    one, other = _built(component).fingerprint(), _built(component).fingerprint()
    assert one == other, "the fingerprint changes from one build to the next"
    assert re.fullmatch("[0-9a-f]{32,}", one), f"{one!r} is not a hex digest"


def _built(component: DataSourceComponent) -> DataSource:
    return component.build(files_of(component))


def _documents(source: DataSource, split: Split) -> list[str]:
    return list(islice(source.documents(split), NUM))
