"""The entropy of the symbols of a text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable


def entropy(symbols: Iterable[Hashable], log: Callable[[float], float] = math.log) -> float:
    """Return the entropy of the empirical distribution of `symbols`, at least one.

    In nats by default; pass `math.log2` for bits.
    """
    counts = Counter(symbols)
    total = counts.total()
    return -math.fsum(count / total * log(count / total) for count in counts.values())
