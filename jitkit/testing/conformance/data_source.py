"""Conformance tests of data sources."""

from __future__ import annotations

import re
from itertools import islice
from typing import get_args

from jitkit.protocols import DataSourceComponent, Split
from jitkit.testing.conformance import files_of

NUM = 1000  # documents of a split that are checked


def iteration_is_repeatable(component: DataSourceComponent) -> None:
    """Every iteration yields the same documents in the same order, whatever other iterations or builds there are."""
    source, other = component.build(files_of(component)), component.build(files_of(component))
    for split in get_args(Split):
        first = list(islice(source.documents(split), NUM))
        assert first == list(islice(source.documents(split), NUM)), f"a second iteration of {split} differs"
        assert first == list(islice(other.documents(split), NUM)), f"{split} differs after rebuilding"
        left, right = source.documents(split), source.documents(split)
        assert next(left) == next(right), "a second iteration continues the first one"
    fingerprint = source.fingerprint()
    assert fingerprint == other.fingerprint(), "the fingerprint changes from one build to the next"
    assert re.fullmatch("[0-9a-f]{32,}", fingerprint), f"{fingerprint!r} is not a hex digest"


def splits_are_apart(component: DataSourceComponent) -> None:
    """Each split has documents, none of them in both splits; no document is empty or contains lone surrogates."""
    source = component.build(files_of(component))
    splits = {split: list(islice(source.documents(split), NUM)) for split in get_args(Split)}
    shared = set.intersection(*map(set, splits.values()))
    assert not shared, f"{next(iter(shared))[:40]!r} is in both splits"
    for split, documents in splits.items():
        assert documents, f"{split} has no document"
        assert all(documents), f"{split} has an empty document"
        for text in documents:
            text.encode()
