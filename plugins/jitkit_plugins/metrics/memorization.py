"""The longest substring that a text shares with the training text: a measure of memorization.

Uses a suffix array: the positions of the training text, sorted by the text that follows, with prefix doubling (Manber
and Myers 1993). It stops at `DEPTH` characters and does not distinguish longer matches.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import takewhile
from operator import eq

import numpy as np

from jitkit_plugins.metrics.ngrams import Ids, argsort, code_points, ranked

DEPTH = 256  # characters, a power of two


class SuffixArray:
    """The substrings of `text`, sorted."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._order = _sorted_positions(text).tolist()

    def longest_match(self, text: str) -> int:
        """Return the length of the longest substring of `text` that is in the training text, at most `DEPTH`."""
        longest = start = 0
        while start + longest < len(text):
            longest = max(longest, self._common_prefix(text[start : start + DEPTH]))
            start += 1
        return longest

    def _common_prefix(self, beginning: str) -> int:
        """Return the length of the longest prefix of `beginning` in the text; a neighbor in the array has it."""
        place = bisect_left(self._order, beginning, key=lambda start: self.text[start : start + DEPTH])
        near = self._order[max(0, place - 1) : place + 1]
        return max((_num_equal(beginning, self.text[start : start + DEPTH]) for start in near), default=0)


def _num_equal(one: str, other: str) -> int:
    """Return the length of the common prefix."""
    return sum(1 for _ in takewhile(bool, map(eq, one, other)))


def _sorted_positions(text: str) -> Ids:
    """Return the positions of `text`, sorted by the `DEPTH` characters that follow; the end of the text sorts first."""
    ranks = ranked(code_points(text))[2] + 1  # at most as many as there are positions
    num, length, order = len(ranks), 1, argsort(ranks)
    while length < DEPTH and num and ranks.max() < num:
        later = np.zeros_like(ranks)
        later[:-length] = ranks[length:]
        keys = ranks * (num + 1) + later
        order = argsort(keys)
        ranks[order] = np.concatenate([[1], 1 + np.cumsum(np.diff(keys[order]) > 0)])
        length *= 2
    return order
