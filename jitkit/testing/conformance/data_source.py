"""What every data source must keep."""

from __future__ import annotations

import re
from itertools import islice
from typing import get_args

from jitkit.protocols import DataSource, DataSourceComponent, Split
from jitkit.testing.conformance import ConformanceTest
from jitkit.testing.tiny_files import files_of

NUM = 1000  # documents of a split that are looked at


def it_can_be_read_again(component: DataSourceComponent) -> None:
    """`documents` yields the same documents in the same order each time, also from a source that is built anew."""
    source, other = _built(component), _built(component)
    for split in get_args(Split):
        first = _documents(source, split)
        assert first == _documents(source, split), f"the second reading of {split} differs"
        assert first == _documents(other, split), f"{split} of a source built anew differs"


def two_readings_do_not_disturb_each_other(component: DataSourceComponent) -> None:
    """Readings that are under way at the same time each see every document."""
    source = _built(component)
    for split in get_args(Split):
        left, right = source.documents(split), source.documents(split)
        first = next(left)
        assert next(right) == first, "a second reading starts where the first one is"


def splits_are_apart(component: DataSourceComponent) -> None:
    """No document is in both splits."""
    source = _built(component)
    shared = {*_documents(source, "train")} & {*_documents(source, "validation")}
    assert not shared, f"{next(iter(shared))[:40]!r} is in both splits"


def splits_have_text(component: DataSourceComponent) -> None:
    """Each split has a document, and none is empty or says what UTF-8 cannot."""
    source = _built(component)
    for split in get_args(Split):
        documents = _documents(source, split)
        assert documents, f"{split} has no document"
        assert all(documents), f"{split} has an empty document"
        for text in documents:
            text.encode()


def fingerprint_is_stable(component: DataSourceComponent) -> None:
    """The fingerprint is a hex digest, and the same for a source that is built anew."""
    one, other = _built(component).fingerprint(), _built(component).fingerprint()
    assert one == other, "the fingerprint changes from one build to the next"
    assert re.fullmatch("[0-9a-f]{32,}", one), f"{one!r} is no hex digest"


def _built(component: DataSourceComponent) -> DataSource:
    return component.build(files_of(component))


def _documents(source: DataSource, split: Split) -> list[str]:
    return list(islice(source.documents(split), NUM))


CONFORMANCE_TESTS: tuple[ConformanceTest, ...] = (
    it_can_be_read_again,
    two_readings_do_not_disturb_each_other,
    splits_are_apart,
    splits_have_text,
    fingerprint_is_stable,
)
