"""How evenly the choices of some stories are distributed, next to their true probabilities.

At each place of the grammar where stories choose, the shares of the options are compared with the mean of their true
probabilities, which depend on what is already taken. The distance is the total variation: half the sum of the absolute
differences, 0 for equal distributions and 1 for disjoint ones.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jitkit_plugins.grammar.parser import Derivation


class Coverage(NamedTuple):
    """Distances from the true probabilities, in [0, 1]."""

    mean: float  # over choices
    worst: float  # of a place
    worst_place: str


def coverage(derivations: Iterable[Derivation]) -> Coverage | None:
    """Return the distances of the choices of some stories; None without a choice."""
    observed = defaultdict[str, Counter[int]](Counter)
    expected = defaultdict[str, dict[int, float]](dict)
    for derivation in derivations:
        for choice, taken in derivation:
            if len(choice.options) == 1:
                continue
            observed[choice.place][choice.options[taken].number] += 1
            for option in choice.options:
                probabilities = expected[choice.place]
                probabilities[option.number] = probabilities.get(option.number, 0.0) + option.probability
    if not observed:
        return None
    wrong = {name: _distance(counts, expected[name]) for name, counts in observed.items()}
    distances = {name: wrong[name] / counts.total() for name, counts in observed.items()}
    worst = max(distances, key=lambda name: distances[name])
    mean = math.fsum(wrong.values()) / sum(counts.total() for counts in observed.values())
    return Coverage(mean, distances[worst], worst)


def _distance(observed: Counter[int], expected: Mapping[int, float]) -> float:
    """Return half the sum of absolute differences: how many choices would have to be others."""
    return sum(abs(observed[index] - probability) for index, probability in expected.items()) / 2
