"""The longest stretch of a text that stands, letter for letter, in another: what a model may have learned by heart.

A suffix array: the places of the training text, sorted by what follows them, by doubling (Manber and Myers 1993). It is cut
off at `DEPTH` characters, beyond which no copy is told from a longer one.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from jitkit.evaluation.sorting import argsort, ranked

DEPTH = 256  # characters, a power of two


class Memorization:
    """The stretches of `text`, sorted."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._order = _sorted_places(text).tolist()

    def longest(self, text: str) -> int:
        """Return the length of the longest stretch of `text` that is in the training text, at most `DEPTH`."""
        longest = start = 0
        while start + longest < len(text):
            longest = max(longest, self._common(text[start : start + DEPTH]))
            start += 1
        return longest

    def _common(self, beginning: str) -> int:
        """Return how many characters of `beginning` stand together somewhere; one of its neighbours has the most."""
        place = bisect_left(self._order, beginning, key=lambda start: self.text[start : start + DEPTH])
        near = self._order[max(0, place - 1) : place + 1]
        return max((_shared(beginning, self.text[start : start + DEPTH]) for start in near), default=0)


def _shared(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _sorted_places(text: str) -> npt.NDArray[np.int64]:
    """Return the places of `text` by the `DEPTH` characters that follow each, the text's end before all of them."""
    points = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype="<u4").astype(np.int64)
    ranks = ranked(points)[2] + 1  # at most as many as there are places
    num, length, order = len(ranks), 1, argsort(ranks)
    while length < DEPTH and num and ranks.max() < num:
        later = np.zeros_like(ranks)
        later[:-length] = ranks[length:]
        keys = ranks * (num + 1) + later
        order = argsort(keys)
        ranks[order] = np.concatenate([[1], 1 + np.cumsum(np.diff(keys[order]) > 0)])
        length *= 2
    return order
