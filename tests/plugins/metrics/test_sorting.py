"""Sorting agrees with numpy."""

import numpy as np
import pytest

from jitkit_plugins.metrics.ngrams import argsort, ranked

LARGE = 2**62  # no room for a position in the low bits


@pytest.mark.parametrize("largest", [1, 3, 1000, LARGE])
@pytest.mark.parametrize("num", [0, 1, 2, 500])
def test_positions_ranks_and_counts(num, largest):
    keys = np.random.default_rng(0).integers(0, largest, num)
    assert argsort(keys).tolist() == np.argsort(keys, kind="stable").tolist()
    values, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    for found, expected in zip(ranked(keys), (values, counts, inverse), strict=True):
        assert found.tolist() == expected.tolist()
