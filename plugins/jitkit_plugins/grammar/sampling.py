"""Stories drawn from a grammar."""

from __future__ import annotations

import random
from collections.abc import Iterator

from jitkit_plugins.grammar.choices import Bindings, choice
from jitkit_plugins.grammar.grammar import Expand, Grammar, Literal, Part


def stories(grammar: Grammar, seed: int) -> Iterator[str]:
    """Yield stories without end, the same ones for each `seed`."""
    numbers = random.Random(seed)
    while True:
        yield story(grammar, numbers)


def story(grammar: Grammar, numbers: random.Random) -> str:
    """Return one story."""
    written = list[str]()
    bindings: Bindings = {}
    waiting: list[Part] = [Expand(grammar.start)]  # the next part is the last one
    while waiting:
        part = waiting.pop()
        if isinstance(part, Literal):
            written.append(part.text)
            continue
        options = choice(grammar, part, bindings).options
        (option,) = numbers.choices(options, [option.probability for option in options])
        bindings = option.bindings
        waiting.extend(reversed(option.template))
    return "".join(written)
